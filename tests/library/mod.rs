//! The library within a host: what it leaves alone, and what it does together with what is the
//! host's.

mod closures;
mod global;
mod groups;
mod labels;
mod observed;
mod recorder;
mod secrets;
mod tenants;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt;
use regex::Regex;
use tower::ServiceExt;

/// What `app` answers to a GET of `path`.
async fn get(app: Router, path: &str) -> (StatusCode, String) {
    let request = Request::get(path).body(Body::empty()).expect("a request");
    let answer = app.oneshot(request).await.expect("an answer");
    let status = answer.status();
    let body = answer.into_body().collect().await.expect("a body").to_bytes();
    (status, String::from_utf8(body.into()).expect("UTF-8"))
}

/// The samples of a page by name and labels; bounds are compared as numbers and labels by name.
fn samples(page: &str) -> BTreeMap<String, f64> {
    let lines = page.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut all = BTreeMap::new();
    for line in lines {
        let (series, value) = line.rsplit_once(' ').expect("a value");
        let value = value.parse().expect("a number");
        let before = all.insert(sorted(series), value);
        assert!(before.is_none(), "{series} is there twice");
    }
    all
}

static LABEL: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)",?"#).expect("a regular expression")
});

/// `series` with its labels sorted.
fn sorted(series: &str) -> String {
    let Some((name, labels)) = series.split_once('{') else { return series.to_owned() };
    let labels = labels.strip_suffix('}').expect("the end of the labels");
    let labels: BTreeMap<_, _> = LABEL
        .captures_iter(labels)
        .map(|found| {
            let (name, value) = (found[1].to_owned(), found[2].to_owned());
            let bound = value.parse::<f64>().ok().filter(|_| name == "le");
            (name, bound.map_or(value, |bound| bound.to_string()))
        })
        .collect();
    format!("{name}{labels:?}")
}
