//! Wrong files: each is shown with its whole report. A report has every problem of its file and
//! nothing else; the snapshots are there to be read.

use std::fmt::Write;

use super::load_text;

/// A file with `jobs` and all that they need.
fn with_jobs(jobs: &str) -> String {
    format!(
        "version: 1
catalogs:
  prod: {{ location: \"/lake/{{schema}}/{{table}}\" }}
targets:
  serving: {{ url: postgresql://ferry@db/app }}
jobs:
{jobs}"
    )
}

/// A file with one job that has everything it needs, and `options`.
fn with_options(options: &str) -> String {
    let options: String = options
        .lines()
        .map(|line| format!("    {line}\n"))
        .collect();
    with_jobs(&format!(
        "  a:\n    from: ./a\n    into: serving.public.a\n    key: [id]\n{options}"
    ))
}

/// A file with one target, whose settings are `target`.
fn with_target(target: &str) -> String {
    format!(
        "version: 1
targets:
  serving: {target}
jobs:
  a: {{ from: ./a, into: serving.public.a, key: [id] }}
"
    )
}

/// `text` with its line numbers, and what is said about it.
fn told(text: &str) -> String {
    let mut told = String::new();
    for (index, line) in text.lines().enumerate() {
        writeln!(told, "{:>3} | {}", index + 1, line.replace('\t', "→")).unwrap();
    }
    match load_text(text) {
        Ok(config) => panic!("not refused:\n{told}\n{config:?}"),
        Err(problems) => write!(told, "\n{problems}").unwrap(),
    }
    assert!(!told.contains("without a reason"), "{told}");
    told
}

macro_rules! wrong_files {
    ($($name:ident: $text:expr,)*) => {
        $(
            #[test]
            fn $name() {
                let mut settings = insta::Settings::clone_current();
                settings.set_omit_expression(true);
                settings.bind(|| {
                    insta::assert_snapshot!(stringify!($name), told($text.as_ref()));
                });
            }
        )*
    };
}

// What is not YAML, or not a mapping.
wrong_files! {
    empty: "",
    only_comments: "# nothing yet\n",
    tab: "version: 1\njobs:\n\ta: {}\n",
    unclosed_bracket: "version: 1\njobs: { a: { key: [id }\n",
    unclosed_quote: "version: 1\ndeployment: \"prod\njobs: {}\n",
    colon_in_value: "version: 1\ndeployment: prod: eu\n",
    wrong_indentation: "version: 1\ntargets:\n  a: {}\n b: {}\n",
    star_without_quotes: with_jobs("  a: { from: *, into: serving.public.a, key: [id] }\n"),
    two_documents: "version: 1\n---\nversion: 1\n",
    list_at_the_top: "- version: 1\n- jobs: {}\n",
    text_at_the_top: "version 1\n",
    deep_nesting: "a: [[[[[[[[[[[[[[[[[[[[[[[[ x",
    deep_nesting_by_aliases: "a: &a [[[[[[[[[[[[ x ]]]]]]]]]]]]
b: [[[[[[[[[[[[ *a ]]]]]]]]]]]]
",
    alias_bomb: format!(
        "a: &a [x,x,x,x,x,x,x,x,x]\n{}",
        ["ab", "bc", "cd", "de", "ef"].map(|names| {
            let (from, to) = names.split_at(1);
            format!("{to}: &{to} [{}]\n", vec![format!("*{from}"); 9].join(","))
        }).concat(),
    ),
}

// The file as a whole.
wrong_files! {
    nothing_declared: "version: 1\n",
    no_version: with_jobs("  a: { from: ./a, into: serving.public.a, key: [id] }\n")
        .replace("version: 1\n", ""),
    unknown_version: with_options("").replace("version: 1", "version: 2"),
    version_of_wrong_type: with_options("").replace("version: 1", "version: [1]"),
    wrong_deployment: with_options("").replace("version: 1", "version: 1\ndeployment: prod eu"),
    long_deployment: format!("deployment: {}\n{}", "d".repeat(64), with_options("")),
    number_as_deployment: format!("deployment: 1.10\n{}", with_options("")),
    unknown_settings: format!(
        "verison: 1\nhttp: {{ listen: 8642, tokens: x }}\nlog: debug\n{}",
        with_options("shedule: none\ncron: \"*/5 * * * *\"\ncolour: red\n\"a b\": 1"),
    ),
    tokens_that_are_nowhere: format!("http: {{ token: hunter2 }}\n{}", with_options("")),
    tokens_of_no_variable: format!("http: {{ token: {{ env: UNSET }} }}\n{}", with_options("")),
    addresses_that_are_none: format!(
        "http: {{ listen: \"8642\", probes: \"localhost:8643\" }}\n{}",
        with_options("")
    ),
    settings_twice: format!("version: 1\n{}", with_options("mode: snapshot\nkey: [b]")),
    keys_that_are_no_texts: with_options("1: a\n[x]: b\ntrue: c\n? {y: z}\n: d"),
    sections_of_wrong_types: "version: 1\ncatalogs: /lake\ntargets: [serving]\njobs: 5\ndefaults:\n",
    entries_of_wrong_types: "version: 1\ncatalogs: { c: /lake }\ntargets: { serving: postgresql://db/app }
jobs: { a: ./a, b: , c: [x], d: { from: c.s.t, into: serving.s.t, key: [id] } }\n",
    no_targets: "version: 1\ntargets: {}\njobs: { a: { from: ./a, into: t.public.a, key: [id] } }\n",
    empty_sections: "version: 1\ntargets: {}\njobs: {}\n",
}

// Catalogs and targets.
wrong_files! {
    catalogs: "version: 1
catalogs:
  cloud: { location: \"s3://acme/{schema}/{table}\" }
  flat: { location: \"/lake/{table}\" }
  odd: { location: \"/lake/{schema}/{table}/{day}\" }
  none: { storage: { region: eu } }
  \"my lake\": { location: \"/lake/{schema}/{table}\" }
targets: { serving: { url: postgresql://db/app } }
jobs:
  a: { from: cloud.s.t, into: serving.public.a, key: [id] }
  b: { from: cluod.s.t, into: serving.public.b, key: [id] }
",
    target_without_url: with_target("{ max_connections: 0 }"),
    target_of_another_kind: with_target("{ url: \"mysql://root:hunter2@db/app\" }"),
    target_with_keywords: with_target("{ url: host=db password=hunter2 hunter2 }"),
    target_with_raw_password: with_target("{ url: \"postgresql://me:hunter2/#@db/app\" }"),
    target_with_weak_tls: with_target("{ url: \"postgresql://db/app?sslmode=require&sslrootcert=system\" }"),
    target_without_host: with_target("{ url: \"postgresql:///app\" }"),
    target_with_what_is_not_done: with_target("{ url: \"postgresql://db/app?require_auth=scram-sha-256\" }"),
    target_with_unknown_parameter: with_target("{ url: \"postgresql://db/app?sslmod=disable\" }"),
    password_in_the_file: with_target("{ url: postgresql://me@db/app, password: hunter2 }"),
    password_as_key: with_target("{ url: postgresql://me@db/app, password: { hunter2 } }"),
    password_not_set: with_target("{ url: postgresql://me@db/app, password: { env: FERY_PASSWORD } }"),
    password_as_variable: with_target("{ url: postgresql://me@db/app, password: { env: hunter2! } }"),
    password_empty: with_target("{ url: postgresql://me@db/app, password: { env: EMPTY } }"),
    password_by_no_command: with_target("{ url: postgresql://me@db/app, password: { command: [] } }"),
    password_twice: with_target("{ url: postgresql://me:hunter2@db/app, password: { env: FERRY_PASSWORD } }"),
    password_in_two_places: with_target("{ url: postgresql://me@db/app, password: { env: FERRY_PASSWORD, file: p } }"),
    password_nowhere: with_target("{ url: postgresql://me@db/app, password: {} }"),
    target_with_wrong_name: with_target("{ url: postgresql://db/app }")
        .replace("  serving:", "  my.serving:"),
}

// Jobs.
wrong_files! {
    job_without_anything: with_jobs("  a: {}\n"),
    wrong_job_names: with_jobs(&["1a", "a b", "\"\"", "ä", &"j".repeat(64)].map(|name| {
        format!("  {name}: {{ from: ./a, into: serving.public.a, key: [id] }}\n")
    }).concat()),
    wrong_sources: with_jobs(&[
        "s3://acme/t", "https://acme/t", "~/t", "customers", "silver.customers", "prod.silver.*",
        "prdo.silver.t", "prod.silver.my-table", "prod..t", "'prod.\"..\".t'", "file://server/t", "\"\"",
    ].iter().enumerate().map(|(n, from)| {
        format!("  j{n}: {{ from: {from}, into: serving.public.t{n}, key: [id] }}\n")
    }).collect::<String>()),
    wrong_targets: with_jobs(&[
        "customers", "public.customers", "srving.public.t", "serving.public.2024", "serving.public.a-b",
        "'serving.public.\"a'", "'serving.public.{table}'", "serving.lakeferry.jobs", "serving.PG_Catalog.t",
        &format!("serving.public.{}", "t".repeat(64)), "'serving.public.\"\"'", "\"serving.public.\\\"a\\0\\\"\"",
    ].iter().enumerate().map(|(n, into)| {
        format!("  j{n}: {{ from: ./a, into: {into}, key: [id] }}\n")
    }).collect::<String>()),
    wrong_keys: with_jobs(&[
        "[]", "id", "[id, ID]", "[1, true, ~, [x]]", "[\"\", \"a\\0b\"]", &format!("[{}]", "k".repeat(64)),
        &format!("[{}]", (0..33).map(|n| format!("c{n}")).collect::<Vec<_>>().join(", ")),
        "",
    ].iter().enumerate().map(|(n, key)| {
        format!("  j{n}: {{ from: ./a, into: serving.public.t{n}, key: {key} }}\n")
    }).collect::<String>()),
    wrong_columns: with_jobs(&[
        "{}", "{ includes: [a] }", "{ include: [id], exclude: [a] }", "{ exclude: [a, ID] }", "{ exclude: [] }",
        "{ rename: [a] }", "{ rename: { a: 1, b: ~ } }", "{ rename: { a: b, A: c, d: b } }",
        "{ include: [id], rename: { a: b } }", "{ exclude: [a], rename: { A: b } }",
        &format!("{{ rename: {{ a: {} }} }}", "b".repeat(64)),
        "[id, a]\n    names: camel",
    ].iter().enumerate().map(|(n, columns)| {
        format!("  j{n}:\n    from: ./a\n    into: serving.public.t{n}\n    key: [id]\n    columns: {columns}\n")
    }).collect::<String>()),
    wrong_types: with_jobs(&[
        "[uuid]", "{ a: uid, b: char(3), c: varchar, d: \"numeric(39,2)\", e: vector(3) }", "{ a: text, A: uuid }",
        "{ a: ~, \"\": uuid }", "{ a: text }\n    columns: [id]", "{ a: text }\n    columns: { exclude: [A] }",
    ].iter().enumerate().map(|(n, types)| {
        format!("  j{n}:\n    from: ./a\n    into: serving.public.t{n}\n    key: [id]\n    types: {types}\n")
    }).collect::<String>()),
    key_left_out_of_columns: with_options("columns: [name, \"\"]").replace("\"\"", "other"),
    wrong_modes: with_jobs(
        "  a: { from: ./a, into: serving.public.a, key: [id], mode: continous }
  b: { from: ./a, into: serving.public.b, key: [id], mode: appends }
  c: { from: ./a, into: serving.public.c, key: [id], mode: snapshots }
  d: { from: ./a, into: serving.public.d, key: [id], mode: full }
",
    ),
    wrong_schedules: with_jobs(&[
        "\"0 25 * * *\"", "\"0 0 30 2 *\"", "EVERY 5 MINUTS", "EVERY 0 SECONDS", "EVERY DAY", "hourly", "5", "EVERY 9 YEARS",
    ].iter().enumerate().map(|(n, schedule)| {
        format!("  j{n}: {{ from: ./a, into: serving.public.t{n}, key: [id], schedule: {schedule} }}\n")
    }).collect::<String>()),
    wrong_options: with_options(
        "filter: true\ncolumns: all\non_source_replaced: refesh\nrefresh_above: 150%\ncollapse_memory: 64",
    ),
    wrong_metadata: with_options("metadata_columns: [_synced_at, _commit_time]\ndeletes: none"),
    soft_deletes_without_a_key: with_jobs(
        "  a: { from: ./a, into: serving.public.a, mode: snapshot, deletes: soft }
  b: { from: ./a, into: serving.public.b, mode: append, deletes: soft, key: [id] }
",
    ),
    ranks_of_nothing: with_jobs(
        "  a: { from: ./a, into: serving.public.a, mode: snapshot, dedupe_by: at }
  b: { from: ./a, into: serving.public.b, mode: append, dedupe_by: at, key: [id] }
  c: { from: ./a, into: serving.public.c, dedupe_by: at, key: [id], columns: [id, name] }
  d: { from: ./a, into: serving.public.d, dedupe_by: At, key: [id], columns: { exclude: [at] } }
  e: { from: ./a, into: serving.public.e, dedupe_by: \"\", key: [id] }
",
    ),
    wrong_guards: with_options("allow_empty: maybe\nmax_delete_share: 120%"),
    wrong_guards_of_other_types: with_options("allow_empty: [true]\nmax_delete_share: -1"),
    wrong_times: with_options("timezone: Europe/Olso\nfilter_every: 2d"),
    wrong_times_of_other_sorts: with_options("timezone: +01:00\nfilter_every: [1h]"),
    wrong_variables: with_options("filter: ${NONE}\nmode: ${FERRY_PASWORD}\nschedule: ${\ncolumns: [\"${A B}\", id]"),
    wrong_patterns: with_jobs(&[
        ("prdo.silver.*", "'serving.public.{table}'", ""),
        ("silver.*", "'serving.public.{table}'", ""),
        ("'*.silver.t'", "'serving.public.{table}'", ""),
        ("'prod.\"silver\".*'", "'serving.public.{table}'", ""),
        ("prod.silver.*", "serving.public.t", ""),
        ("prod.silver.*", "'serving.public.{name}_{table}'", ""),
        ("prod.silver.*", "'serving.public.\"{table}\"'", ""),
        ("prod.silver.*", "'serving.public.{table}'", ", exclude: any"),
        ("prod.silver.*", "'serving.public.{table}'", ", exclude: [1]"),
        ("prod.silver.*", "'serving.public.{table}'", ", exclude: ['[']"),
        ("prod.silver.*", "'serving.public.{table}'", ", exclude: [a*]"),
        ("prod.silver.t", "serving.public.t", ", exclude: [a]"),
        ("prod.silver.t", "'serving.public.{table}'", ""),
    ].iter().enumerate().map(|(n, (from, into, more))| {
        format!("  j{n}: {{ from: {from}, into: {into}, key: [id]{more} }}\n")
    }).collect::<String>()),
    a_job_with_a_dot: with_jobs("  silver.t: { from: ./a, into: serving.public.a, key: [id] }\n"),
    empty_options: with_options("filter: \" \"\ncolumns: []\nmode:\nschedule: \"\""),
    one_table_for_two_jobs: with_jobs(
        "  a: { from: ./a, into: serving.public.orders, key: [id] }
  b: { from: ./b, into: serving.Public.ORDERS, key: [id] }
  c: { from: ./c, into: 'serving.public.\"orders\"', mode: full }
",
    ),
    one_table_through_two_targets: "version: 1
targets:
  one: { url: postgresql://ferry@db/app }
  two: { url: \"postgres://other@DB:5432/app?connect_timeout=3\" }
jobs:
  a: { from: ./a, into: one.public.orders, key: [id] }
  b: { from: ./b, into: two.public.orders, key: [id] }
",
    faults_of_defaults_once: format!(
        "defaults: {{ mode: all, key: [a, A], from: ./x }}\n{}",
        with_jobs(
            "  a: { from: ./a, into: serving.public.a }\n  b: { from: ./a, into: serving.public.b }\n",
        ),
    ),
    one_mistake_of_each_sort: "version: 1
deployment: prod/eu
catalogs: { prod: { location: /lake } }
targets:
  serving: { url: postgresql://db/app?sslmode=verify, max_connections: many }
jobs:
  a:
    from: prod.silver.customers
    into: srving.public.customers
    key: [id, name, Id]
    mode: contiuous
    schedule: EVERY 5 MINUTS
    fitler: a > 1
",
}
