//! How many connections the runs on each target may have, and so how many runs there may be: as it is
//! declared, or a part of what the server leaves, which it is asked once, before the first of them.

use std::collections::BTreeMap;

use lakeferry_config::{Config, Target, TargetName};
use lakeferry_engine::Room;

use crate::share::{MOST, OF_A_RUN, Share};

/// Of what the server leaves: for several daemons, and for those who come later.
const PART: u32 = 4;

/// What servers said where nothing is declared.
#[derive(Debug, Default)]
pub(super) struct Budgets(BTreeMap<TargetName, Option<u32>>);

impl Budgets {
    /// Notes how many connections a server leaves; nothing if it did not say. Then one run may find out why.
    pub(super) fn note(&mut self, target: &TargetName, free: Option<u32>) {
        let connections = free.map(|free| (free / PART).clamp(OF_A_RUN, MOST));
        self.0.insert(target.clone(), connections);
    }

    /// The target is another one now.
    pub(super) fn forget(&mut self, target: &TargetName) {
        self.0.remove(target);
    }

    /// Whether the server is to be asked, again if it did not say.
    pub(super) fn is_open(&self, target: &Target) -> bool {
        let known = self.0.get(&target.name).copied().flatten();
        target.max_connections.or(known).is_none()
    }

    pub(super) fn share(&self, config: &Config, target: &Target) -> Share {
        let known = self.0.get(&target.name);
        let known = known.map(|connections| connections.unwrap_or(OF_A_RUN));
        let connections = target.max_connections.or(known).unwrap_or(0);
        Share::of(connections, config.daemon.max_runs)
    }

    /// How many runs there may be, in all and on each target.
    pub(super) fn room(&self, config: &Config) -> Room {
        let runs = |target: &Target| self.share(config, target).runs;
        let number = |runs| usize::try_from(runs).unwrap_or(1);
        let targets = config.targets.values();
        Room {
            runs: number(config.daemon.max_runs),
            per_target: targets
                .map(|target| (target.name.to_string(), number(runs(target))))
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use lakeferry_config::Tables;

    use super::*;

    fn config(max_connections: &str) -> Config {
        let yaml = format!(
            "version: 1\ntargets: {{ t: {{ url: \"postgresql://db/app\", \
             max_connections: {max_connections} }} }}\n\
             jobs: {{ j: {{ from: ./j, into: t.public.j, key: [id] }} }}\n"
        );
        let path = Path::new("lakeferry.yaml");
        let loaded = lakeferry_config::load(&yaml, path, &BTreeMap::new(), Tables::Unknown);
        loaded.unwrap().config
    }

    #[test]
    fn runs_never_have_more_than_there_are() {
        for (declared, free, expected) in [
            // Nothing runs before the server was asked, and one where it did not say.
            ("auto", None, (0, 0, 0)),
            ("auto", Some(None), (3, 1, 3)),
            // A quarter, but enough for one run, and no more than the runs need.
            ("auto", Some(Some(0)), (3, 1, 3)),
            ("auto", Some(Some(17)), (4, 1, 4)),
            ("auto", Some(Some(24)), (6, 2, 3)),
            ("auto", Some(Some(97)), (12, 4, 3)),
            ("auto", Some(Some(5_000)), (12, 4, 3)),
            // What is declared goes before.
            ("3", None, (3, 1, 3)),
            ("8", Some(Some(97)), (8, 2, 4)),
            ("100", None, (100, 4, 25)),
        ] {
            let config = config(declared);
            let target = config.targets.values().next().unwrap();
            let mut budgets = Budgets::default();
            if let Some(free) = free {
                budgets.note(&target.name, free);
            }
            let share = budgets.share(&config, target);
            let found = (share.connections, share.runs, share.per_run);
            assert_eq!(found, expected, "{declared} {free:?}");
            let is_open = declared == "auto" && free.flatten().is_none();
            assert_eq!(budgets.is_open(target), is_open, "{declared} {free:?}");
        }
    }
}
