//! The answer to COMMIT does not come: what landed is not done again, what did not is.

use rand::{Rng as _, seq::IndexedRandom as _};

use crate::{
    proxy::{Cut, Proxy},
    scene::{JOB, Scene, as_long, on_each_server},
};

/// On each server.
const CUTS: usize = 50;
const CUTS_LONG: usize = 1_000;

/// Runs recorded since a number: how many, under which epoch, and the rows that they wrote.
const RUNS_SINCE: &str = "\
SELECT count(*), min(epoch), sum(inserted), sum(updated), sum(deleted) FROM lakeferry.runs \
WHERE run_id > ";

#[test]
fn commits_whose_answer_is_lost() {
    let counts = on_each_server("commits_whose_answer_is_lost", async |version, random| {
        let mut scene = Scene::filled(version, random).await;
        let proxy = Proxy::start(scene.deployment.server().port());
        let address = proxy.url("postgres", "serving");
        scene.deployment.reach_by(&address);
        let mut landed = 0;
        let cuts = as_long(CUTS, CUTS_LONG);
        for _ in 0..cuts {
            landed += usize::from(cut_one(&mut scene, &proxy).await);
        }
        let release = scene.deployment.release();
        println!(
            "postgres {release}: COMMIT cut off {cuts} times: {landed} landed, {} did not",
            cuts - landed
        );
        (landed, cuts - landed)
    });
    for (landed, lost) in counts {
        assert!(landed > 0 && lost > 0, "{landed} landed, {lost} did not");
    }
}

/// Whether the COMMIT whose answer was cut off landed.
async fn cut_one(scene: &mut Scene, proxy: &Proxy) -> bool {
    scene.commit().await;
    let before = scene
        .deployment
        .sql("SELECT epoch, (SELECT max(run_id) FROM lakeferry.runs) FROM lakeferry.progress");
    let (epoch, last_run) = before.split_once('|').unwrap();
    let cut = *[Cut::Before, Cut::Amid, Cut::After]
        .choose(&mut scene.random)
        .unwrap();
    proxy.cut_next(cut);
    let arguments: &[&str] = match scene.random.random_ratio(1, 10) {
        true => &["backfill", JOB],
        false => &["sync"],
    };
    let said = scene.deployment.run(arguments);
    let [job] = said.jobs_done().try_into().unwrap();
    assert!(!proxy.is_armed(), "{cut:?}: there was no COMMIT");
    scene.expect_head();

    let runs = scene.deployment.sql(&format!("{RUNS_SINCE}{last_run}"));
    let [count, run_epoch, inserted, updated, deleted] =
        <[&str; 5]>::try_from(runs.split('|').collect::<Vec<_>>()).unwrap();
    assert_eq!(count, "1", "{cut:?}: applied twice");
    let wrote: [u64; 3] = [inserted, updated, deleted].map(|rows| rows.parse().unwrap());
    assert_eq!(job.steps.len(), 1, "{cut:?}: {said}");
    assert_eq!(job.rows(), wrote, "{cut:?}: {said}");
    let first_epoch = epoch.parse::<u64>().unwrap() + 1;
    let has_landed = run_epoch.parse::<u64>().unwrap() == first_epoch;
    match cut {
        Cut::Before => assert!(!has_landed, "a COMMIT that was never sent"),
        Cut::After => assert!(has_landed, "a COMMIT that was answered is lost"),
        Cut::Amid => {}
    }
    has_landed
}
