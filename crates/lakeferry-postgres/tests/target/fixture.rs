//! One job on one throwaway server, and a bystander's connection to look from outside.

use std::{sync::Arc, time::Duration};

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use lakeferry_model::{
    Applied, BadRows, Claim, CommitOutcome, DeltaVersion, Digest, Effect, Failure, FailureClass,
    FillPlan, Fingerprint, Guard, Holder, Instant, JobKey, Loader, RowCounts, Session, Stage,
    TableId, Target, Watermark,
};
use lakeferry_postgres::{
    ConnectSettings, Error, PostgresSession, PostgresTarget, Table, TargetSettings,
};
use lakeferry_postgres_testkit::{Server, servers};
use tokio_postgres::{Client, NoTls};

pub(crate) type Lease = PostgresSession<DeltaVersion>;

/// A job that writes `public.target`, keyed by `id`, in a database of its own.
pub(crate) struct Desk {
    pub(crate) server: Server,
    pub(crate) url: String,
    pub(crate) client: Client,
    /// Holds locks; in a transaction, `pg_stat_activity` would not move any more.
    locker: Client,
    pub(crate) settings: TargetSettings,
}

impl Desk {
    async fn new(server: Server) -> Self {
        let url = server.create_database("app").unwrap();
        let settings = TargetSettings {
            connect: ConnectSettings::parse(&url).unwrap(),
            state_schema: "lakeferry".to_owned(),
            job: JobKey {
                deployment: "test".to_owned(),
                name: "job".to_owned(),
            },
            table: Table {
                schema: "public".to_owned(),
                name: "target".to_owned(),
            },
            key: vec!["id".to_owned()],
            comment: None,
            lease: Duration::from_secs(30),
            // Tests delete what they like; guards have tests of their own.
            guard: Guard::OFF,
            allow_rewrite: false,
            bad_rows: BadRows::HALT,
            own: lakeferry_model::OwnColumns::default(),
            max_connections: 8,
        };
        let client = connect(&url).await;
        let locker = connect(&url).await;
        Self {
            server,
            url,
            client,
            locker,
            settings,
        }
    }

    pub(crate) fn target(&self) -> PostgresTarget<DeltaVersion> {
        PostgresTarget::new(self.settings.clone()).unwrap()
    }

    pub(crate) async fn claim(&self) -> Lease {
        match self
            .target()
            .claim(&Holder("test".to_owned()))
            .await
            .unwrap()
        {
            Claim::Granted(session) => session,
            Claim::Held(holder) => panic!("held by {holder}"),
        }
    }

    /// A session whose fill with `rows` is applied.
    pub(crate) async fn filled(&self, rows: &RecordBatch) -> Lease {
        let mut session = self.claim().await;
        stage(&mut session, Stage::Fill, &[(Effect::Insert, rows)])
            .await
            .unwrap();
        applied(&mut session, 1).await;
        session
    }

    pub(crate) async fn run(&self, sql: &str) {
        self.client.batch_execute(sql).await.unwrap();
    }

    /// Makes whatever writes to the target wait, until [`Desk::let_go`].
    pub(crate) async fn hold_target(&self) {
        self.hold("LOCK TABLE target IN SHARE MODE").await;
    }

    /// Runs `sql` in a transaction that stays open.
    pub(crate) async fn hold(&self, sql: &str) {
        self.locker
            .batch_execute(&format!("BEGIN; {sql}"))
            .await
            .unwrap();
    }

    pub(crate) async fn let_go(&self) {
        self.locker.batch_execute("COMMIT").await.unwrap();
    }

    /// Waits until so many wait for a lock.
    pub(crate) async fn until_waiting(&self, number: u32) {
        self.until(&format!(
            "SELECT count(*) = {number} FROM pg_locks WHERE NOT granted"
        ))
        .await;
    }

    /// What one column of one row holds, as text.
    pub(crate) async fn ask(&self, sql: &str) -> String {
        let sql = format!("SELECT ({sql})::text");
        let answer: Option<String> = self.client.query_one(&sql, &[]).await.unwrap().get(0);
        answer.unwrap_or_else(|| "NULL".to_owned())
    }

    /// The rows of the target in words.
    pub(crate) async fn rows(&self) -> String {
        self.ask(
            "SELECT string_agg(id || ':' || coalesce(value, '-'), ' ' ORDER BY id) FROM target",
        )
        .await
    }

    /// Waits until `sql` is true.
    pub(crate) async fn until(&self, sql: &str) {
        for _ in 0..2_000 {
            if self.ask(sql).await == "true" {
                return;
            }
            self.run("SELECT pg_sleep(0.005)").await;
        }
        panic!("waited in vain: {sql}");
    }
}

/// Runs `test` on a fresh server of each version.
pub(crate) async fn on_each_server(test: impl AsyncFn(Desk)) {
    for version in servers() {
        let server = Server::start(version).unwrap();
        println!("postgres {}", server.release());
        Box::pin(test(Desk::new(server).await)).await;
    }
}

pub(crate) async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

pub(crate) fn watermark(version: u64) -> Watermark<DeltaVersion> {
    Watermark {
        table_id: TableId("a-table".to_owned()),
        version: DeltaVersion(version),
        digest: Some(Digest([7; 32])),
        instant: Instant(1_700_000_000_123_456),
    }
}

pub(crate) fn fingerprint() -> Fingerprint {
    Fingerprint {
        key: vec!["id".to_owned()],
        rows: "rows".to_owned(),
        columns: Vec::new(),
        columns_made: 0,
    }
}

/// Rows of `id bigint, value text`.
pub(crate) fn batch(rows: &[(i64, Option<&str>)]) -> RecordBatch {
    let ids = rows.iter().map(|(id, _)| *id);
    let values: StringArray = rows.iter().map(|(_, value)| *value).collect();
    let columns: [(&str, ArrayRef, bool); 2] = [
        ("id", Arc::new(Int64Array::from_iter_values(ids)), true),
        ("value", Arc::new(values), true),
    ];
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

/// A fill of version 1, cut into so many pieces.
pub(crate) fn fill_plan(pieces: usize) -> FillPlan<DeltaVersion> {
    FillPlan {
        watermark: watermark(1),
        fingerprint: fingerprint(),
        pieces: pieces as u64,
        pieces_digest: Digest([9; 32]),
    }
}

/// Stages `parts`; for a fill, loads each as a piece that is not there yet.
pub(crate) async fn stage(
    session: &mut Lease,
    stage: Stage,
    parts: &[(Effect, &RecordBatch)],
) -> Result<(), Error> {
    if stage == Stage::Fill {
        let plan = fill_plan(parts.len());
        let loaded = session.fill(&plan, &parts[0].1.schema()).await?;
        let mut loader = session.loader().await?;
        let missing = (0..).zip(parts);
        for (place, (_, rows)) in missing.filter(|(place, _)| !loaded.pieces.contains(place)) {
            loader.begin(place).await?;
            loader.put(rows).await?;
            loader.finish().await?;
        }
        return Ok(());
    }
    session.stage(stage, &parts[0].1.schema()).await?;
    for (effect, rows) in parts {
        session.put(*effect, rows).await?;
    }
    Ok(())
}

pub(crate) async fn apply(session: &mut Lease, version: u64) -> Result<CommitOutcome, Error> {
    session.apply(&watermark(version), &fingerprint()).await
}

pub(crate) async fn applied(session: &mut Lease, version: u64) -> RowCounts {
    match apply(session, version).await.unwrap() {
        CommitOutcome::Applied(Applied { rows, .. }) => rows,
        outcome => panic!("{outcome:?}"),
    }
}

/// Stages and applies; gives what was written.
pub(crate) async fn brought(
    session: &mut Lease,
    version: u64,
    kind: Stage,
    parts: &[(Effect, &RecordBatch)],
) -> RowCounts {
    stage(session, kind, parts).await.unwrap();
    applied(session, version).await
}

/// Stages and applies what has to be refused; gives class, message, hint and causes in one text.
pub(crate) async fn refused(
    session: &mut Lease,
    kind: Stage,
    parts: &[(Effect, &RecordBatch)],
) -> (FailureClass, String) {
    let result = async {
        stage(session, kind, parts).await?;
        let version = if kind == Stage::Fill { 1 } else { 9 };
        apply(session, version).await
    };
    match result.await {
        Ok(outcome) => panic!("not refused: {outcome:?}"),
        Err(error) => told(&error),
    }
}

pub(crate) fn told(error: &Error) -> (FailureClass, String) {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    if let Some(hint) = error.hint() {
        text = format!("{text}; hint: {hint}");
    }
    (error.class(), text)
}
