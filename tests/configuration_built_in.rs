//! The configuration of a service that is given none.

use std::env::VarError;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use vitalsign::Check;
use vitalsign::config::{
    ConfigError, ConfigPath, Kind, KindOptions, Loaded, Loader, OptionError, Secret,
};

use crate::configuration_loading::assert_holds;

/// Three kinds by the names of the real ones.
macro_rules! database {
    ($type:ident, $name:literal, $option:ident: $value:ty $(, $flag:ident)?) => {
        #[derive(Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        struct $type {
            $option: $value,
            $(#[serde(default)] $flag: bool,)?
        }

        impl KindOptions for $type {
            const NAME: &'static str = $name;
            const SUMMARY: &'static str = "nothing";

            fn build(self) -> Result<Arc<dyn Check>, Vec<OptionError>> {
                $(let _ = self.$flag;)?
                Ok(Arc::new(Named(format!("{} {:?}", $name, self.$option).leak())))
            }
        }
    };
}

database!(Postgres, "postgres", url: Secret);
database!(MySql, "mysql", url: Secret);
database!(Sqlite, "sqlite", path: ConfigPath, create);

static DATABASES: &[Kind] = &[Kind::of::<MySql>(), Kind::of::<Postgres>(), Kind::of::<Sqlite>()];

struct Named(&'static str);

#[async_trait::async_trait]
impl Check for Named {
    fn kind(&self) -> &'static str {
        self.0
    }

    async fn run(&self, _: &vitalsign::Context) -> Result<vitalsign::Detail, vitalsign::Failure> {
        Ok(vitalsign::Detail::ok())
    }
}

fn built_in(url: Option<&'static str>) -> Result<Loaded, ConfigError> {
    let lookup = move |name: &str| match (name, url) {
        ("DATABASE_URL", Some(url)) => Ok(url.to_owned()),
        _ => Err(VarError::NotPresent),
    };
    Loader::new(DATABASES).environment(lookup).built_in()
}

#[test]
fn the_built_in_configuration_asks_the_database_of_database_url() {
    for (url, kind) in [
        (None, "sqlite ConfigPath(\"/"),
        (Some(""), "sqlite ConfigPath(\"/"),
        (Some("postgres://u:hunter2@h/db"), "postgres"),
        (Some("postgresql://u:hunter2@h/db"), "postgres"),
        (Some("postgresql+asyncpg://u:hunter2@h/db"), "postgres"),
        (Some("postgres+psycopg2://u:hunter2@h/db?schema=public"), "postgres"),
        (Some("postgres://u:hunter2@one:1,two:2/db"), "postgres"),
        (Some("mysql://u:hunter2@h/db"), "mysql"),
        (Some("mysql2://u:hunter2@h/db"), "mysql"),
        (Some("mysql+pymysql://u:hunter2@h/db"), "mysql"),
        (Some("file:./dev.db?connection_limit=1"), "sqlite ConfigPath(\"/"),
        (Some("sqlite+aiosqlite:///var/dev.db"), "sqlite ConfigPath(\"/var/dev.db\")"),
        (Some("MariaDB://u:hunter2@h/db"), "mysql"),
        (
            Some("sqlite:///var/${data}/\"x\".db?mode=ro"),
            "sqlite ConfigPath(\"/var/${data}/\\\"x\\\".db\")",
        ),
    ] {
        let loaded = built_in(url).unwrap_or_else(|error| panic!("{url:?}: {error}"));
        let [check] = loaded.checks.as_slice() else { panic!("{:?}", loaded.checks) };
        assert_eq!(check.name, "database");
        let plain = |text: String| text.replace('\\', "");
        let declared = plain(format!("{:?}", check.declared));
        let wanted = plain(format!("kind: \"{kind}"));
        assert!(declared.contains(&wanted), "{declared}: {wanted}");
        assert_eq!(loaded.settings.server.listen.to_string(), "127.0.0.1:8080");
    }
}

#[test]
fn a_database_url_of_another_scheme_is_an_error_that_does_not_show_it() {
    for url in ["mongodb://u:hunter2@h/db", "hunter2"] {
        let error = built_in(Some(url)).expect_err("no such kind").to_string();
        assert_holds(&error, &["built-in configuration:1:1: checks.database: ", "DATABASE_URL"]);
        assert!(!error.contains("hunter2"), "{error}");
    }
}
