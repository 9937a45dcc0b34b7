//! The in-memory ports pass the contracts that the real ones pass, with no special case.

use lakeferry_model::{BadRows, DeltaVersion, Guard, Instant, OwnColumns, Pause, Position, Sign};
use lakeferry_testkit::{
    History, Kind, MemoryServer, MemorySource, MemoryTarget, Row, Values,
    contract::{source, target},
};

struct Server<P>(MemoryServer<P>);

impl<P: Position> target::Harness for Server<P> {
    type Target = MemoryTarget<P>;

    fn target(&self) -> MemoryTarget<P> {
        self.0.guarded(Guard::default())
    }
    fn unguarded(&self) -> MemoryTarget<P> {
        self.0.target()
    }
    fn writing(&self, own: OwnColumns, bad: BadRows) -> MemoryTarget<P> {
        self.0.tolerant(bad).writing(own).guarded(Guard::default())
    }
    async fn deleted(&self) -> Vec<i64> {
        self.0.deleted()
    }
    fn tolerant(&self, bad: BadRows) -> MemoryTarget<P> {
        self.0.tolerant(bad)
    }
    async fn quarantined(&self) -> Vec<i64> {
        self.0.quarantined()
    }
    async fn unkeyed(&self) -> Vec<Option<String>> {
        self.0.unkeyed()
    }
    fn keyless(&self) -> MemoryTarget<P> {
        self.0.keyless(Guard::default())
    }
    async fn all_rows(&self) -> Option<Vec<Values>> {
        self.0.all_rows()
    }
    async fn rows(&self) -> Option<target::Rows> {
        self.0.rows()
    }
    async fn cells(&self, column: &str) -> Option<target::Rows> {
        self.0.cells(column)
    }
    async fn make_table(&self, rows: target::Rows) {
        self.0.make_table(rows);
    }
    async fn refuse(&self, value: &str) {
        self.0.refuse(value);
    }
    async fn replace_table(&self) {
        self.0.replace_table();
    }
    async fn drop_table(&self) {
        self.0.drop_table();
    }
    async fn drop_fill(&self) {
        self.0.drop_fill();
    }
    async fn give_up_sessions(&self) {
        self.0.give_up_sessions();
    }
    async fn let_lease_pass(&self) {
        self.0.let_lease_pass();
    }
    async fn pause(&self, reason: Option<&str>) {
        self.0.pause(Some(Pause {
            since: Instant(1),
            by: "ana".to_owned(),
            reason: reason.map(str::to_owned),
        }));
    }
    async fn resume(&self) {
        self.0.pause(None);
    }
}

#[test]
fn memory_target_keeps_the_contract() {
    pollster::block_on(target::holds(async || {
        Server::<u64>(MemoryServer::default())
    }));
    pollster::block_on(target::holds(async || {
        Server::<DeltaVersion>(MemoryServer::default())
    }));
}

struct Table {
    source: MemorySource<DeltaVersion>,
    feed: std::cell::Cell<bool>,
}

impl Table {
    fn commit(&self, added: bool, changes: Vec<(Sign, Row)>) {
        let kind = match (self.feed.get(), added) {
            (true, _) => Kind::Feed,
            (false, true) => Kind::Added,
            (false, false) => Kind::Rewritten,
        };
        self.source
            .with_history(|history| history.commit(kind, changes));
    }

    fn live(&self) -> Vec<Row> {
        self.source.with_history(|history| {
            let table = history.generation();
            table.rows(table.head()).into_keys().collect()
        })
    }
}

impl source::Harness for Table {
    type Source = MemorySource<DeltaVersion>;

    fn source(&self) -> Self::Source {
        self.source.clone()
    }
    fn timed(&self) -> Self::Source {
        self.source.timed()
    }
    async fn create(&self, feed: bool, rows: Vec<Row>) {
        self.feed.set(feed);
        self.source.with_history(|history| history.replace(rows));
    }
    async fn append(&self, rows: Vec<Row>) {
        self.commit(
            true,
            rows.into_iter().map(|row| (Sign::Plus, row)).collect(),
        );
    }
    async fn upsert(&self, rows: Vec<Row>) {
        let live = self.live();
        let old = live
            .into_iter()
            .filter(|old| rows.iter().any(|row| row.id == old.id));
        let minus: Vec<_> = old.map(|row| (Sign::Minus, row)).collect();
        let plus = rows.iter().map(|row| (Sign::Plus, row.clone()));
        self.commit(false, minus.into_iter().chain(plus).collect());
    }
    async fn delete(&self, ids: Vec<i64>) {
        let old = self
            .live()
            .into_iter()
            .filter(|row| row.id.is_some_and(|id| ids.contains(&id)));
        self.commit(false, old.map(|row| (Sign::Minus, row)).collect());
    }
    async fn shift_ids(&self) {
        let shifted = |row: &Row| Row {
            id: row.id.map(|id| id + 1),
            ..row.clone()
        };
        let both = |row: Row| [(Sign::Plus, shifted(&row)), (Sign::Minus, row)];
        self.commit(false, self.live().into_iter().flat_map(both).collect());
    }
    async fn optimize(&self) {
        self.source
            .with_history(|history| history.commit(Kind::Nothing, Vec::new()));
    }
}

#[test]
fn memory_source_keeps_the_contract() {
    pollster::block_on(source::holds(async || Table {
        source: MemorySource::new(History::default()),
        feed: std::cell::Cell::new(true),
    }));
}
