//! The built-in configuration of a service without a configuration file: one check, the database.

use rustix::fs::{Access, AtFlags, CWD, accessat};

use super::expand::Environment;

/// Its name in diagnostics.
pub(super) const NAME: &str = "built-in configuration";

/// The service's own database, in the working directory.
const OWN: &str = super::settings::HISTORY_FILE;

/// Warning when `vitalsign.db` cannot be created.
pub(super) const IN_MEMORY: &str = "the working directory cannot be written, so the own database is in memory; start in another \
     one to have it in `vitalsign.db`";

/// Where the service's own database is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DefaultDatabase {
    File,
    /// It does not exist in the working directory and cannot be created there.
    Memory,
}

impl DefaultDatabase {
    pub(super) fn here() -> Self {
        let may = |path, access| accessat(CWD, path, access, AtFlags::EACCESS).is_ok();
        let in_file = may(OWN, Access::EXISTS) || may(".", Access::WRITE_OK | Access::EXEC_OK);
        if in_file { Self::File } else { Self::Memory }
    }
}

/// Its text. The kind follows the scheme of `DATABASE_URL`, with or without the suffix of a driver
/// such as `+asyncpg`; without the variable the check is the service's own database.
pub(super) fn text(
    environment: &Environment,
    own: DefaultDatabase,
) -> Result<String, &'static str> {
    let Some(url) = environment.non_empty("DATABASE_URL") else {
        return Ok(match own {
            DefaultDatabase::File => {
                check("sqlite", "path", &format!("\"{OWN}\"")) + "create = true\n"
            }
            DefaultDatabase::Memory => check("sqlite", "path", "\":memory:\""),
        });
    };
    let scheme = url.split_once(':').map(|(scheme, _)| scheme.to_ascii_lowercase());
    let family = scheme.as_deref().map(|scheme| scheme.split('+').next().unwrap_or_default());
    match family {
        Some("postgres" | "postgresql" | "postgis" | "pgsql") => {
            Ok(check("postgres", "url", "\"${DATABASE_URL}\""))
        }
        Some("mysql" | "mysql2" | "mariadb") => Ok(check("mysql", "url", "\"${DATABASE_URL}\"")),
        Some("sqlite" | "sqlite3" | "file") => {
            // A reference in the path would be replaced as if the user had written it here.
            let exists = |path: &str| std::path::Path::new(path).exists();
            let path = sqlite_path(&url, exists).replace("${", "$${");
            Ok(check("sqlite", "path", &toml::Value::String(path).to_string()))
        }
        _ => Err("the scheme of `DATABASE_URL` is not known; set one of postgres://, \
                  postgresql://, mysql://, mariadb://, sqlite: and file:"),
    }
}

fn check(kind: &str, option: &str, value: &str) -> String {
    format!("[checks.database]\nkind = \"{kind}\"\n{option} = {value}\n")
}

/// The path of `sqlite:path`, `sqlite://path` or `sqlite:///path`, without parameters.
///
/// With three slashes the path is absolute for some libraries and relative for others, which write
/// four for an absolute path. It is treated as relative if only that file exists.
fn sqlite_path(url: &str, exists: impl Fn(&str) -> bool) -> &str {
    let rest = url.split_once(':').map_or(url, |(_, rest)| rest);
    let path = rest.strip_prefix("//").unwrap_or(rest);
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    match path.strip_prefix('/') {
        Some(absolute) if absolute.starts_with('/') => absolute,
        Some(relative) if rest.starts_with("///") && !exists(path) && exists(relative) => relative,
        _ => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Kind, KindOptions, Loader, OptionError};
    use crate::engine::check::{Check, Context, Detail, Failure};
    use std::sync::Arc;

    /// Applies the part of the built-in configuration that is about the own database.
    #[derive(serde::Deserialize, schemars::JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct Sqlite {
        path: String,
        #[serde(default)]
        create: bool,
    }

    impl KindOptions for Sqlite {
        const NAME: &'static str = "sqlite";
        const SUMMARY: &'static str = "nothing";

        fn build(self) -> Result<Arc<dyn Check>, Vec<OptionError>> {
            assert_eq!(self.create, self.path == OWN, "{}", self.path);
            Ok(Arc::new(self))
        }
    }

    #[async_trait::async_trait]
    impl Check for Sqlite {
        fn kind(&self) -> &'static str {
            Self::NAME
        }

        async fn run(&self, _: &Context) -> Result<Detail, Failure> {
            Ok(Detail::ok())
        }
    }

    static SQLITE: &[Kind] = &[Kind::of::<Sqlite>()];

    #[test]
    fn where_no_file_can_be_made_the_own_database_is_in_memory_and_that_is_said() {
        let unset = |_: &str| Err(std::env::VarError::NotPresent);
        let loader = Loader::new(SQLITE).environment(unset);
        let in_file = loader.built_in_with(DefaultDatabase::File).expect("valid");
        assert_eq!(in_file.warnings, []);
        let in_memory = loader.built_in_with(DefaultDatabase::Memory).expect("valid");
        assert_eq!(in_memory.checks.len(), 1);
        let [warning] = in_memory.warnings.as_slice() else { panic!("{:?}", in_memory.warnings) };
        assert!(warning.message.contains("in memory"), "{warning}");
        let path = text(&Environment::new(unset), DefaultDatabase::Memory).expect("a text");
        assert!(path.contains("path = \":memory:\""), "{path}");

        let set = |name: &str| match name {
            "DATABASE_URL" => Ok("sqlite:elsewhere".to_owned()),
            _ => Err(std::env::VarError::NotPresent),
        };
        let elsewhere = Loader::new(SQLITE).environment(set).built_in_with(DefaultDatabase::Memory);
        assert_eq!(elsewhere.expect("valid").warnings, [], "its own is not used");
    }

    #[test]
    fn a_sqlite_url_is_cut_to_its_path() {
        let of = |url| sqlite_path(url, |_| false);
        assert_eq!(of("sqlite:data.db"), "data.db");
        assert_eq!(of("sqlite3:db/data.db"), "db/data.db");
        assert_eq!(of("sqlite://data.db?mode=ro"), "data.db");
        assert_eq!(of("sqlite+aiosqlite:///var/lib/data.db"), "/var/lib/data.db");
        assert_eq!(of("sqlite:////var/lib/data.db"), "/var/lib/data.db");
        assert_eq!(of("file:./dev.db?connection_limit=1"), "./dev.db");
        assert_eq!(of("file:///var/lib/data.db"), "/var/lib/data.db");
        assert_eq!(of("sqlite::memory:"), ":memory:");
    }

    #[test]
    fn three_slashes_are_a_relative_path_where_only_that_file_exists() {
        let with = |files: &'static [&str]| {
            sqlite_path("sqlite:///db.sqlite3", move |path| files.contains(&path))
        };
        assert_eq!(with(&["db.sqlite3"]), "db.sqlite3");
        assert_eq!(with(&["/db.sqlite3", "db.sqlite3"]), "/db.sqlite3");
        assert_eq!(with(&[]), "/db.sqlite3");
    }
}
