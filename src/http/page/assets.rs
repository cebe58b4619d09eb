//! The assets of the pages: the style sheet, the script and the icon of each status.
//!
//! Each has a digest of its content in its name, so that a browser may keep it for good.

use std::sync::LazyLock;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::reply::zipped;
use crate::model::Status;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("live.js");

/// Something that a page loads.
#[derive(Debug)]
pub(super) struct Asset {
    /// Its name within `/assets/`.
    pub(super) name: String,
    pub(super) media_type: &'static str,
    pub(super) body: Bytes,
    pub(super) gzip: Bytes,
}

impl Asset {
    fn new(name: &str, extension: &str, media_type: &'static str, text: String) -> Self {
        let digest = Sha256::digest(text.as_bytes());
        let digest = digest.iter().take(6).fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
        let body = Bytes::from(text);
        let gzip = zipped(&body);
        Self { name: format!("{name}-{digest:012x}.{extension}"), media_type, body, gzip }
    }
}

static ASSETS: LazyLock<Vec<Asset>> = LazyLock::new(|| {
    let style = Asset::new("style", "css", "text/css; charset=utf-8", STYLE.to_owned());
    let script = Asset::new("live", "js", "text/javascript; charset=utf-8", SCRIPT.to_owned());
    let icons = ICONS.iter().map(|(name, colour, shape)| {
        let text = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"-1 -1 18 18\">\
             <path fill=\"{colour}\" d=\"{shape}\"/></svg>"
        );
        Asset::new(name, "svg", "image/svg+xml", text)
    });
    [style, script].into_iter().chain(icons).collect()
});

const CIRCLE: &str = "M8 0a8 8 0 0 1 0 16A8 8 0 0 1 8 0z";

/// Name, colour and shape of each status' icon; the last one stands for any other status.
const ICONS: [(&str, &str, &str); 6] = [
    ("up", "#1f9d63", CIRCLE),
    ("degraded", "#c98500", "M8 0l8 15H0z"),
    ("down", "#d9373f", "M4.7 0h6.6L16 4.7v6.6L11.3 16H4.7L0 11.3V4.7z"),
    ("starting", "#4c7de0", "M8 0a8 8 0 0 1 0 16zM8 3a5 5 0 0 0 0 10z"),
    ("draining", "#4c7de0", "M0 4h16L8 16z"),
    ("unknown", "#7d8894", "M8 0a8 8 0 0 1 0 16A8 8 0 0 1 8 0zm0 4a4 4 0 1 0 0 8 4 4 0 0 0 0-8z"),
];

/// The style sheet.
pub(super) fn style() -> &'static Asset {
    &ASSETS[0]
}

/// The script.
pub(super) fn script() -> &'static Asset {
    &ASSETS[1]
}

/// The icon of a status of the service or of a check.
pub(super) fn icon(status: &str) -> &'static Asset {
    let place = ICONS.iter().position(|(name, ..)| *name == status).unwrap_or(ICONS.len() - 1);
    &ASSETS[2 + place]
}

/// The asset of this name.
pub(super) fn find(name: &str) -> Option<&'static Asset> {
    ASSETS.iter().find(|asset| asset.name == name)
}

/// The colour of a check's status where no style sheet applies.
pub(super) fn colour(status: Status) -> &'static str {
    let place = ICONS.iter().position(|(name, ..)| *name == status.as_str());
    ICONS[place.unwrap_or(ICONS.len() - 1)].1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ServiceStatus;

    #[test]
    fn every_status_has_an_icon_of_its_own() {
        for status in Status::ALL {
            assert!(icon(status.as_str()).name.starts_with(status.as_str()), "{status}");
        }
        for status in ServiceStatus::ALL {
            assert!(icon(status.as_str()).name.starts_with(status.as_str()), "{status}");
        }
        assert_eq!(icon("other").name, icon("unknown").name);
    }

    #[test]
    fn an_asset_is_found_by_its_whole_name_alone() {
        assert!(find(&style().name).is_some_and(|found| found.media_type.starts_with("text/css")));
        assert!(find(&script().name).is_some());
        assert!(find("style.css").is_none() && find("").is_none());
    }
}
