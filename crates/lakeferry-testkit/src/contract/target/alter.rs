//! Alterations: in one transaction with the fingerprint, behind the fence, and never twice.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, FieldRef, Schema, SchemaRef};
use lakeferry_model::{
    Alteration, CommitOutcome, Effect, Failure, FailureClass, Fingerprint, Session, Stage,
};

use super::{Harness, Rows, applied, claimed, filled, fingerprint, made_from, rows, rows_batch};
use crate::columns;

pub(super) async fn holds<H: Harness>(make: &impl AsyncFn() -> H) {
    a_column_comes(make().await).await;
    a_column_goes_on_detached(make().await).await;
    a_column_is_dropped(make().await).await;
    a_column_is_renamed(make().await).await;
    columns_exchange_their_names(make().await).await;
    what_has_values_is_not_taken(make().await).await;
    older_epochs_are_fenced(make().await).await;
    other_tables_are_fenced(make().await).await;
}

fn text(name: &str) -> FieldRef {
    Arc::new(Field::new(name, DataType::Utf8, true))
}

/// The key and texts of these names.
fn with_texts(names: &[&str]) -> SchemaRef {
    let key = columns().field(0).clone();
    let texts = names.iter().map(|name| text(name));
    let fields: Vec<FieldRef> = [Arc::new(key)].into_iter().chain(texts).collect();
    Arc::new(Schema::new(fields))
}

fn made_with(columns: &Schema) -> Fingerprint {
    Fingerprint {
        columns: made_from(columns),
        ..fingerprint()
    }
}

/// Alters the table, and is believed.
async fn altered<S: Session>(session: &mut S, alterations: &[Alteration], columns: &Schema) {
    let before = session.standing().clone();
    let outcome = session.alter(alterations, &made_with(columns)).await;
    let outcome = outcome.expect("the alteration works");
    assert!(matches!(outcome, CommitOutcome::Applied(_)), "{outcome:?}");
    let after = session.standing();
    assert_eq!(after.watermark(), before.watermark());
    let fingerprint = after
        .progress
        .as_ref()
        .map(|progress| &progress.fingerprint);
    assert_eq!(fingerprint, Some(&made_with(columns)));
}

/// Stages rows of `columns`: a key, and the same text in all others.
async fn staged<S: Session>(
    session: &mut S,
    columns: &SchemaRef,
    parts: &[(Effect, &[(i64, &str)])],
) -> Result<(), S::Error> {
    session.stage(Stage::Changes, columns).await?;
    for (effect, pairs) in parts {
        let ids = rows_batch(pairs).column(0).clone();
        let texts: ArrayRef = Arc::new(StringArray::from_iter_values(
            pairs.iter().map(|(_, text)| *text),
        ));
        let texts = (1..columns.fields().len()).map(|_| texts.clone());
        let arrays = [ids].into_iter().chain(texts).collect();
        let batch = RecordBatch::try_new(columns.clone(), arrays).expect("texts after the key");
        session.put(*effect, &batch).await?;
    }
    Ok(())
}

fn cells(pairs: &[(i64, Option<&str>)]) -> Rows {
    let owned = |text: Option<&str>| text.map(ToOwned::to_owned);
    pairs.iter().map(|(id, text)| (*id, owned(*text))).collect()
}

async fn a_column_comes<H: Harness>(harness: H) {
    let mut session = filled(&harness, &[(1, "a"), (2, "b")]).await;
    let wider = with_texts(&["value", "extra"]);
    assert_eq!(harness.cells("extra").await, None);
    // The second time it is there already.
    for _ in 0..2 {
        altered(&mut session, &[Alteration::Add(text("extra"))], &wider).await;
        assert_eq!(
            harness.cells("extra").await,
            Some(cells(&[(1, None), (2, None)]))
        );
    }
    let parts: [(Effect, &[_]); 2] = [(Effect::Update, &[(2, "c")]), (Effect::Insert, &[(3, "d")])];
    let taken = staged(&mut session, &wider, &parts).await;
    taken.expect("the rows are taken");
    let outcome = session
        .apply(&super::watermark(2), &made_with(&wider))
        .await;
    let outcome = outcome.expect("the apply works");
    assert!(matches!(outcome, CommitOutcome::Applied(_)), "{outcome:?}");
    assert_eq!(
        harness.rows().await,
        Some(rows(&[(1, "a"), (2, "c"), (3, "d")]))
    );
    assert_eq!(
        harness.cells("extra").await,
        Some(cells(&[(1, None), (2, Some("c")), (3, Some("d"))]))
    );
    // What the next claim reads is what was noted.
    let standing = session.standing().clone();
    session.release().await.expect("the release works");
    let next = claimed(&harness).await;
    assert_eq!(next.standing().progress, standing.progress);
}

async fn a_column_goes_on_detached<H: Harness>(harness: H) {
    let mut session = filled(&harness, &[(1, "a"), (2, "b")]).await;
    let key = with_texts(&[]);
    let detach = [Alteration::Detach("value".to_owned())];
    altered(&mut session, &detach, &key).await;
    let ids = RecordBatch::try_new(key.clone(), vec![rows_batch(&[(3, "")]).column(0).clone()]);
    session
        .stage(Stage::Changes, &key)
        .await
        .expect("the stage opens");
    let put = session.put(Effect::Insert, &ids.expect("a key")).await;
    put.expect("the rows are taken");
    applied(&mut session, 2).await;
    assert_eq!(
        harness.cells("value").await,
        Some(cells(&[(1, Some("a")), (2, Some("b")), (3, None)]))
    );
    for _ in 0..2 {
        let clear = [detach[0].clone(), Alteration::Clear("value".to_owned())];
        altered(&mut session, &clear, &key).await;
        let none = cells(&[(1, None), (2, None), (3, None)]);
        assert_eq!(harness.cells("value").await, Some(none));
    }
}

async fn a_column_is_dropped<H: Harness>(harness: H) {
    let mut session = filled(&harness, &[(1, "a")]).await;
    let key = with_texts(&[]);
    for _ in 0..2 {
        let drop = [Alteration::Drop("value".to_owned())];
        altered(&mut session, &drop, &key).await;
        assert_eq!(harness.cells("value").await, None);
    }
    // A new one of its name has nothing of it.
    let add = [Alteration::Add(text("value"))];
    altered(&mut session, &add, &columns()).await;
    assert_eq!(harness.cells("value").await, Some(cells(&[(1, None)])));
}

async fn a_column_is_renamed<H: Harness>(harness: H) {
    let mut session = filled(&harness, &[(1, "a")]).await;
    let renamed = with_texts(&["word"]);
    let rename = [Alteration::Rename {
        from: "value".to_owned(),
        to: "word".to_owned(),
    }];
    for _ in 0..2 {
        altered(&mut session, &rename, &renamed).await;
        assert_eq!(harness.cells("word").await, Some(rows(&[(1, "a")])));
        assert_eq!(harness.cells("value").await, None);
    }
    let taken = staged(&mut session, &renamed, &[(Effect::Update, &[(1, "b")])]).await;
    taken.expect("the rows are taken");
    applied(&mut session, 2).await;
    assert_eq!(harness.cells("word").await, Some(rows(&[(1, "b")])));
    let refused = session.stage(Stage::Changes, &columns()).await;
    let class = refused.expect_err("there is no such column").class();
    assert_eq!(class, FailureClass::NeedsOperator);
}

async fn columns_exchange_their_names<H: Harness>(harness: H) {
    let mut session = filled(&harness, &[(1, "a")]).await;
    let wider = with_texts(&["value", "extra"]);
    altered(&mut session, &[Alteration::Add(text("extra"))], &wider).await;
    let turned = with_texts(&["extra", "value"]);
    let rename = |from: &str, to: &str| Alteration::Rename {
        from: from.to_owned(),
        to: to.to_owned(),
    };
    let round = [
        rename("value", "between"),
        rename("extra", "value"),
        rename("between", "extra"),
    ];
    altered(&mut session, &round, &turned).await;
    assert_eq!(harness.cells("extra").await, Some(rows(&[(1, "a")])));
    assert_eq!(harness.cells("value").await, Some(cells(&[(1, None)])));
}

async fn what_has_values_is_not_taken<H: Harness>(harness: H) {
    let mut session = filled(&harness, &[(1, "a")]).await;
    let narrower = with_texts(&[]);
    let detach = [Alteration::Detach("value".to_owned())];
    altered(&mut session, &detach, &narrower).await;
    let add = [Alteration::Add(text("value"))];
    let refused = session.alter(&add, &fingerprint()).await;
    let class = refused.expect_err("it has values").class();
    assert_eq!(class, FailureClass::NeedsOperator);
    drop(session);
    let session = claimed(&harness).await;
    let progress = session.standing().progress.as_ref();
    let noted = progress.map(|progress| &progress.fingerprint);
    assert_eq!(noted, Some(&made_with(&narrower)));
}

async fn older_epochs_are_fenced<H: Harness>(harness: H) {
    let mut older = filled(&harness, &[(1, "a")]).await;
    harness.give_up_sessions().await;
    let newer = claimed(&harness).await;
    let wider = with_texts(&["value", "extra"]);
    let add = [Alteration::Add(text("extra"))];
    let outcome = older.alter(&add, &made_with(&wider)).await;
    assert_eq!(outcome.ok(), Some(CommitOutcome::Fenced));
    assert_eq!(harness.cells("extra").await, None);
    drop(newer);
}

async fn other_tables_are_fenced<H: Harness>(harness: H) {
    let mut session = filled(&harness, &[(1, "a")]).await;
    harness.drop_table().await;
    harness.make_table(rows(&[(1, "a")])).await;
    let wider = with_texts(&["value", "extra"]);
    let add = [Alteration::Add(text("extra"))];
    let outcome = session.alter(&add, &made_with(&wider)).await;
    assert_eq!(outcome.ok(), Some(CommitOutcome::Fenced));
    assert_eq!(harness.cells("extra").await, None);
}
