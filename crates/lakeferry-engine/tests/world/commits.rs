//! What writers do to the source: commits of every kind, cleaning, rewinding, replacing.

use lakeferry_model::{Clock as _, Instant, Sign};
use lakeferry_testkit::{Kind, Layout, Row, WINDOW, is_hot};
use rand::Rng;

use super::World;

impl World {
    /// A random commit, of a kind that can record it.
    pub(crate) fn commit(&mut self) {
        let changes = self.random_changes();
        let only_added = changes.iter().all(|(sign, _)| *sign == Sign::Plus);
        let kind = match self.random.random_range(0..100) {
            _ if changes.is_empty() => Kind::Nothing,
            0..35 if only_added => Kind::Added,
            35..45 if only_added && self.appends => Kind::Added,
            35..45 => Kind::Rewritten,
            45..50 => Kind::Opaque,
            _ => Kind::Feed,
        };
        let version = self
            .source
            .with_history(|history| history.commit(kind, changes.clone()));
        self.log
            .push(format!("version {version}: {kind:?} {changes:?}"));
        self.source
            .with_history(|history| self.oracle.observe(history));
    }

    fn commit_nothing(&mut self) {
        self.source.with_history(|history| {
            history.commit(Kind::Nothing, Vec::new());
            self.oracle.observe(history);
        });
    }

    /// Other columns: the extra one comes or goes, or one has another name.
    pub(crate) fn alter(&mut self) {
        let mut layout = self.layout();
        match (self.random.random_range(0..5), &mut layout.extra) {
            // The column by which rows are ranked keeps its name, by which the job knows it.
            (0, _) if self.settles => return,
            (4, _) => layout = self.earlier_layout(),
            (0, _) => {
                let other = if layout.value == "value" {
                    "word"
                } else {
                    "value"
                };
                layout.value = other.to_owned();
            }
            (1, Some((_, name))) => {
                let other = if name == "extra" { "more" } else { "extra" };
                *name = other.to_owned();
            }
            (_, Some(_)) => layout.extra = None,
            (_, None) => {
                self.extras += 1;
                layout.made = self.extras;
                layout.extra = Some((self.extras, "extra".to_owned()));
            }
        }
        let log = format!("columns: {layout:?}");
        let version = self.source.with_history(|history| history.alter(layout));
        self.log.push(format!("version {version}: {log}"));
        self.source
            .with_history(|history| self.oracle.observe(history));
    }

    /// As RESTORE brings columns back.
    fn earlier_layout(&mut self) -> Layout {
        let made = self.layout().made;
        let head = self
            .source
            .with_history(|history| history.generation().head());
        let version = self.random.random_range(0..=head);
        let earlier = self
            .source
            .with_history(|history| history.generation().layout(version).clone());
        Layout { made, ..earlier }
    }

    fn layout(&self) -> Layout {
        self.source.with_history(|history| {
            let table = history.generation();
            table.layout(table.head()).clone()
        })
    }

    fn live(&self) -> Vec<Row> {
        self.source.with_history(|history| {
            let table = history.generation();
            let rows = table.rows(table.head()).into_iter();
            rows.flat_map(|(row, count)| (0..count).map(move |_| row.clone()))
                .collect()
        })
    }

    /// Where no key may have several rows, keeps it unique among the rows that the filter lets through at once, and there only.
    fn random_changes(&mut self) -> Vec<(Sign, Row)> {
        let mut changes = Vec::new();
        let mut live = self.live();
        if self.random.random_bool(0.05) {
            return Vec::new();
        }
        if self
            .random
            .random_bool(if self.appends { 0.01 } else { 0.1 })
        {
            return shifted(&live);
        }
        let only_adds = self.appends && self.random.random_bool(0.97);
        let wanted = if self.random.random_bool(0.05) {
            40
        } else {
            self.random.random_range(1..5)
        };
        for _ in 0..wanted {
            let row = self.random_row();
            if live.is_empty() || only_adds || self.random.random_bool(0.4) {
                changes.push((Sign::Plus, row));
                continue;
            }
            let old = live.swap_remove(self.random.random_range(0..live.len()));
            if self.random.random_bool(0.6) {
                // Some lose their key, and some get one.
                let keeps = self
                    .random
                    .random_bool(if old.id.is_some() { 0.97 } else { 0.6 });
                let id = if keeps { old.id } else { row.id.xor(old.id) };
                changes.push((Sign::Plus, Row { id, ..row }));
            }
            changes.push((Sign::Minus, old));
        }
        for (_, row) in changes.iter_mut().filter(|(sign, _)| *sign == Sign::Plus) {
            if !self.settles && live.iter().any(|other| clash(row, other)) {
                row.hot = None;
            }
            live.push(row.clone());
        }
        changes
    }

    fn random_row(&mut self) -> Row {
        let fresh = self
            .random
            .random_bool(if self.settles { 0.3 } else { 0.7 });
        if fresh {
            self.next_id += 1;
        }
        let id = if fresh {
            self.next_id
        } else {
            self.random.random_range(0..=self.next_id)
        };
        let value = self
            .random
            .random_bool(0.9)
            .then(|| match self.random.random_range(0..20) {
                0 => "no table holds this\0".to_owned(),
                _ => format!("v{}", self.random.random_range(0..9)),
            });
        let hot = [Some(true), Some(true), Some(false), None][self.random.random_range(0..4)];
        let seen = self.random.random_bool(0.6).then(|| {
            let Instant(now) = self.clock.now();
            Instant(now + self.random.random_range(-15_000_000..15_000_000))
        });
        let extra = self.layout().extra.filter(|_| self.random.random_bool(0.8));
        let extra = extra.map(|(identity, _)| {
            let text = format!("e{}", self.random.random_range(0..9));
            (identity, text)
        });
        Row {
            id: Some(id).filter(|_| self.random.random_bool(0.95)),
            value,
            hot,
            seen: seen.filter(|_| self.is_timed()),
            extra,
        }
    }

    /// Rare: the log is cleaned, the storage rewound, the table dropped and made anew.
    pub(crate) fn trouble_at_source(&mut self) {
        let head = self
            .source
            .with_history(|history| history.generation().head());
        match self.random.random_range(0..6) {
            0 => {
                self.source
                    .with_history(|history| history.replace(Vec::new()));
                self.log.push("source replaced".to_owned());
                self.commit();
            }
            1 => {
                let to = self.random.random_range(0..=head);
                let cleaned = self.source.with_history(|history| {
                    let cleaned = history.generation().digest(to).is_none();
                    if !cleaned {
                        history.rewind(to);
                    }
                    cleaned
                });
                if !cleaned {
                    self.log.push(format!("source rewound to {to}"));
                    // Often past where it was, also by commits that change no row.
                    for _ in 0..=self.random.random_range(0..=head - to + 1) {
                        match self.random.random_bool(0.4) {
                            true => self.commit_nothing(),
                            false => self.commit(),
                        }
                    }
                }
            }
            2 => {
                let pieces = self.random.random_range(1..6);
                self.source.cut_into(pieces);
                self.log.push(format!("snapshots are cut into {pieces}"));
            }
            3 => {
                let to = self.random.random_range(0..=head);
                self.source.with_history(|history| history.vacuum(to));
                self.log.push(format!("files vacuumed below {to}"));
            }
            _ => {
                let to = self.random.random_range(0..=head);
                self.source.with_history(|history| history.clean(to));
                self.log.push(format!("log cleaned below {to}"));
            }
        }
        self.source
            .with_history(|history| self.oracle.observe(history));
    }
}

/// Whether there is a moment at which two rows with one key pass the filter.
fn clash(one: &Row, other: &Row) -> bool {
    let apart = one
        .seen
        .zip(other.seen)
        .is_some_and(|(one, other)| u128::from(one.0.abs_diff(other.0)) >= WINDOW.as_micros());
    one.id.is_some() && one.id == other.id && is_hot(one) && is_hot(other) && !apart
}

/// `UPDATE … SET id = id + 1`.
fn shifted(live: &[Row]) -> Vec<(Sign, Row)> {
    let next = |row: &Row| Row {
        id: row.id.map(|id| id + 1),
        ..row.clone()
    };
    live.iter()
        .flat_map(|row| [(Sign::Plus, next(row)), (Sign::Minus, row.clone())])
        .collect()
}
