//! A standby as target, and one that is promoted without the last of what its primary had.

use lakeferry_postgres_testkit::{Server, Settings, Stop};
use rand::Rng as _;

use crate::{
    proxy::Proxy,
    scene::{IS_BLOCKED, LIMIT, Scene, as_long, on_each_server},
};

const FAILOVERS: usize = 2;
const FAILOVERS_LONG: usize = 30;

fn settings() -> Settings {
    Settings::quick().with("autovacuum", "off")
}

/// Waits until the standby shows all that the primary has.
fn wait_for_standby(primary: &Server, standby: &Server) {
    let now = primary
        .psql("postgres", "SELECT pg_current_wal_lsn()")
        .unwrap();
    let is_there = format!("SELECT pg_last_wal_replay_lsn() >= '{now}'");
    while standby.psql("postgres", &is_there).unwrap() != "t" {}
}

/// What the product had written since is lost, and it begins there anew.
#[test]
fn a_standby_promoted_without_the_last_commits() {
    let test = "a_standby_promoted_without_the_last_commits";
    let lost = on_each_server(test, async |version, random| {
        let mut scene = Scene::start(version, &settings(), 4_000, random).await;
        let proxy = Proxy::start(scene.deployment.server().port());
        scene.sync_to_head();
        let mut lost = 0;
        for number in 0..as_long(FAILOVERS, FAILOVERS_LONG) {
            let way = match number % 2 {
                0 => Way::SameAddress(&proxy),
                _ => Way::BothHosts,
            };
            lost += fail_over(&mut scene, &way).await;
        }
        lost
    });
    println!("versions lost by failovers, on each server: {lost:?}");
    assert!(lost.iter().all(|lost| *lost > 0), "nothing was lost");
}

/// How the product finds the new primary.
enum Way<'a> {
    /// It has the address of the old one.
    SameAddress(&'a Proxy),
    /// The job's url names both.
    BothHosts,
}

/// Says how many versions the target lost.
async fn fail_over(scene: &mut Scene, way: &Way<'_>) -> u64 {
    let standby = scene.deployment.server().start_standby().unwrap();
    let ports = [scene.deployment.server().port(), standby.port()];
    let address = match way {
        Way::SameAddress(proxy) => {
            proxy.lead_to(ports[0]);
            proxy.url("postgres", "serving")
        }
        Way::BothHosts => {
            let hosts = ports.map(|port| format!("127.0.0.1:{port}")).join(",");
            format!("postgresql://postgres@{hosts}/serving?target_session_attrs=read-write")
        }
    };
    scene.deployment.reach_by(&address);
    scene.commit().await;
    scene.sync_to_head();
    wait_for_standby(scene.deployment.server(), &standby);
    let kept = scene.moving.head();
    standby.stop_receiving().unwrap();
    for _ in 0..scene.random.random_range(1..=3) {
        scene.commit().await;
        scene.sync_to_head();
    }
    let lost = scene.moving.head() - kept;

    // The primary dies inside an apply.
    scene.commit().await;
    let rival = scene.deployment.connect().await;
    let witness = scene.deployment.connect().await;
    let lock = "BEGIN; LOCK TABLE moving IN SHARE MODE";
    rival.batch_execute(lock).await.unwrap();
    let process = scene.begin(&["sync"]);
    Scene::until(&witness, IS_BLOCKED).await;
    scene.deployment.server().stop(Stop::Immediate).unwrap();
    standby.promote().unwrap();
    scene.deployment.replace_server(standby);
    match way {
        Way::SameAddress(proxy) => {
            assert_eq!(scene.expect_version(), Some(kept));
            proxy.lead_to(ports[1]);
        }
        // It may be there already.
        Way::BothHosts => assert!(scene.expect_version() >= Some(kept)),
    }
    scene.expect_done(&process.end(LIMIT).await.unwrap());
    lost
}

/// A standby is read and not written; when it is promoted, the run goes on.
#[test]
fn a_standby_as_target() {
    on_each_server("a_standby_as_target", async |version, random| {
        let mut scene = Scene::start(version, &settings(), 4_000, random).await;
        scene.sync_to_head();
        let standby = scene.deployment.server().start_standby().unwrap();
        wait_for_standby(scene.deployment.server(), &standby);
        scene.deployment.reach_by(&standby.url("serving"));
        scene.sync_to_head();
        scene.commit().await;
        let mut process = scene.begin(&["sync"]);
        process.until_said("is a standby", LIMIT).await.unwrap();
        scene.deployment.server().stop(Stop::Fast).unwrap();
        standby.promote().unwrap();
        scene.deployment.replace_server(standby);
        scene.expect_done(&process.end(LIMIT).await.unwrap());
    });
}
