//! The wrong things, each with how it is made.

use std::{fs, path::Path};

use crate::wrong_things::scene::Scene;

/// Something wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Case {
    MissingTable,
    NotADeltaTable,
    UnreadableFeature,
    UnknownColumnInFilter,
    UnknownColumnInKey,
    FilterNotBoolean,
    VolatileFunction,
    NullKey,
    DuplicateKey,
    IncompatibleExistingColumn,
    TableOfOthers,
    ForeignTable,
    NoPermissionOnSchema,
    NoPermissionOnTable,
    UnknownKeyInYaml,
    BadSchedule,
    UnreachableServer,
    WrongPassword,
    UntrustedCertificate,
    BrokenLogEntry,
    MissingDataFile,
}

impl Case {
    pub(super) const ALL: [Self; 21] = [
        Self::MissingTable,
        Self::NotADeltaTable,
        Self::UnreadableFeature,
        Self::UnknownColumnInFilter,
        Self::UnknownColumnInKey,
        Self::FilterNotBoolean,
        Self::VolatileFunction,
        Self::NullKey,
        Self::DuplicateKey,
        Self::IncompatibleExistingColumn,
        Self::TableOfOthers,
        Self::ForeignTable,
        Self::NoPermissionOnSchema,
        Self::NoPermissionOnTable,
        Self::UnknownKeyInYaml,
        Self::BadSchedule,
        Self::UnreachableServer,
        Self::WrongPassword,
        Self::UntrustedCertificate,
        Self::BrokenLogEntry,
        Self::MissingDataFile,
    ];

    /// The first command in which a user meets it.
    pub(super) fn command(self) -> &'static str {
        match self {
            Self::UnknownColumnInFilter
            | Self::UnknownColumnInKey
            | Self::FilterNotBoolean
            | Self::VolatileFunction
            | Self::UnknownKeyInYaml
            | Self::BadSchedule => "validate",
            // A sync tries again for half a minute.
            Self::UnreachableServer => "plan",
            _ => "sync",
        }
    }

    /// Whether rows have to be read, or the target looked at under a claim, to find it.
    pub(super) fn is_found_after_the_claim(self) -> bool {
        use Case::{
            DuplicateKey, ForeignTable, IncompatibleExistingColumn, MissingDataFile,
            NoPermissionOnSchema, NoPermissionOnTable, NullKey,
        };
        let found = [
            NullKey,
            DuplicateKey,
            IncompatibleExistingColumn,
            ForeignTable,
            NoPermissionOnSchema,
            NoPermissionOnTable,
            MissingDataFile,
        ];
        found.contains(&self)
    }

    /// Makes it; gives the name of a configuration file that meets it.
    pub(super) async fn prepare(self, scene: &Scene) -> String {
        let name = self.name();
        let path = if self.has_a_table() {
            scene.table(&name).await
        } else {
            scene.folder().join(&name)
        };
        self.break_source(&path);
        if let Some(sql) = self.break_target(&name) {
            scene.sql(&sql);
        }
        let from = format!("from: ./{name}");
        let into = match self {
            Self::NoPermissionOnSchema => format!("into: serving.closed.{name}"),
            _ => format!("into: serving.public.{name}"),
        };
        let mut lines = vec![from.as_str(), into.as_str()];
        lines.extend(self.option());
        match self {
            Self::UnreachableServer => scene.job_at(&scene.url("right", 1), &name, &lines),
            Self::WrongPassword => {
                let url = scene.job(&name, &lines);
                let file = scene.folder().join(&url);
                let text = fs::read_to_string(&file).unwrap();
                fs::write(&file, text.replace(":right@", ":wrong@")).unwrap();
                url
            }
            Self::UntrustedCertificate => {
                let file = scene.job(&name, &lines);
                let path = scene.folder().join(&file);
                let text = fs::read_to_string(&path).unwrap();
                let root = scene.folder().join("root.crt");
                let asked = format!("sslmode=verify-full&sslrootcert={}", root.display());
                let text = text.replace("/serving\"", &format!("/serving?{asked}\""));
                fs::write(&path, text).unwrap();
                file
            }
            _ => scene.job(&name, &lines),
        }
    }

    /// Takes away what would be in the way of the next.
    pub(super) fn clean(self, scene: &Scene) {
        if self == Self::ForeignTable {
            scene.sql("DROP FOREIGN DATA WRAPPER elsewhere CASCADE");
        }
    }

    fn has_a_table(self) -> bool {
        !matches!(self, Self::MissingTable | Self::NotADeltaTable)
    }

    /// The option of the job that is wrong, or that makes the wrong thing show.
    fn option(self) -> Option<&'static str> {
        Some(match self {
            Self::UnknownColumnInFilter => "filter: wrod = 'one'",
            Self::UnknownColumnInKey => "key: [idd]",
            Self::FilterNotBoolean => "filter: id + 1",
            Self::VolatileFunction => "filter: random() < 0.5",
            Self::NullKey => "key: [word]",
            Self::DuplicateKey => "key: [id]",
            Self::UnknownKeyInYaml => "fliter: id > 1",
            Self::BadSchedule => "schedule: EVERY 5 MINUTS",
            _ => return None,
        })
    }

    fn break_source(self, path: &Path) {
        let log = path.join("_delta_log");
        let commit = |version: u64, text: &str| {
            fs::write(log.join(format!("{version:020}.json")), text).unwrap();
        };
        match self {
            Self::NotADeltaTable => {
                fs::create_dir_all(path).unwrap();
                fs::write(path.join("part-0.parquet"), "PAR1").unwrap();
            }
            Self::UnreadableFeature => commit(2, UNHEARD_OF),
            Self::BrokenLogEntry => commit(2, "{\"commitInfo\":{}}\n{\"add\":{\"path\":\n"),
            Self::DuplicateKey => {
                // The same file once more, under another name.
                let text = fs::read_to_string(log.join(format!("{:020}.json", 1))).unwrap();
                let file = data_file(path);
                let name = file.file_name().unwrap().to_string_lossy().into_owned();
                fs::copy(&file, path.join(format!("again-{name}"))).unwrap();
                commit(2, &text.replace(&name, &format!("again-{name}")));
            }
            Self::MissingDataFile => fs::remove_file(data_file(path)).unwrap(),
            _ => {}
        }
    }

    fn break_target(self, name: &str) -> Option<String> {
        let table = format!("CREATE TABLE public.{name}");
        Some(match self {
            Self::IncompatibleExistingColumn => {
                format!(
                    "{table} (id bigint PRIMARY KEY, word integer); \
                     ALTER TABLE public.{name} OWNER TO ferry"
                )
            }
            Self::TableOfOthers => {
                format!(
                    "{table} (id bigint PRIMARY KEY, word text); \
                     INSERT INTO public.{name} VALUES (7, 'mine'); \
                     ALTER TABLE public.{name} OWNER TO ferry"
                )
            }
            Self::ForeignTable => {
                format!(
                    "CREATE FOREIGN DATA WRAPPER elsewhere; \
                     CREATE SERVER there FOREIGN DATA WRAPPER elsewhere; \
                     CREATE FOREIGN TABLE public.{name} (id bigint, word text) SERVER there; \
                     ALTER TABLE public.{name} OWNER TO ferry"
                )
            }
            Self::NoPermissionOnTable => format!("{table} (id bigint PRIMARY KEY, word text)"),
            _ => return None,
        })
    }

    /// The name of job, table and file: that of the case in small letters.
    fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }
}

/// A commit that asks of readers what nobody can do.
const UNHEARD_OF: &str = "{\"protocol\":{\"minReaderVersion\":3,\"minWriterVersion\":7,\
\"readerFeatures\":[\"unheardOf\"],\"writerFeatures\":[\"unheardOf\"]}}\n";

/// The only data file of a table.
fn data_file(path: &Path) -> std::path::PathBuf {
    let entries = fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut files = entries.filter(|path| path.extension().is_some_and(|kind| kind == "parquet"));
    files.next().unwrap()
}
