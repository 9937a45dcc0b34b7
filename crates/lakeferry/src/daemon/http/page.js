"use strict";
// The status page: asks the API every two seconds while it is seen, and shows what it says. All of it comes
// into the page as text, never as markup.

const EVERY_MS = 2000;
const SERIES_EVERY_MS = 10000;
// A target that does not answer is not asked more often for what was done.
const HISTORY_AGAIN_MS = 30000;
const STATES = ["halted", "backing_off", "paused", "backfilling", "syncing", "idle"];
const WORDS = { backing_off: "backing off" };
const GONE = new Set(["halted", "backing_off"]);

const byId = (id) => document.getElementById(id);
const chosen = () => decodeURIComponent(location.hash.slice(1));
let jobs = [];
let only = null;
let seen = new Map();
let rates = new Map();
let series = { job: null, at: 0, samples: [] };
let past = { job: null, version: undefined, at: 0, runs: null, error: null };
let asked = { job: null, text: "", failed: false };

// ---- the API

class Refused extends Error {
  constructor(status, error) {
    super(error?.reason ?? `the daemon answered ${status}`);
    this.status = status;
    this.hint = error?.hint ?? null;
  }
}

async function ask(path, method = "GET", body = undefined) {
  const token = sessionStorage.getItem("token");
  const headers = token ? { authorization: `Bearer ${token}` } : {};
  if (body !== undefined) headers["content-type"] = "application/json";
  const answer = await fetch(`api/v1/${path}`, { method, headers, body: body && JSON.stringify(body) });
  const said = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Refused(answer.status, said.error);
  return said;
}

const ofJob = (name, what = "") => `jobs/${encodeURIComponent(name)}${what}`;

// ---- words

const grouped = new Intl.NumberFormat("en").format;
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 }).format;

function span(seconds) {
  if (seconds < 0.001) return "0 s";
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 100) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 129600) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} d`;
}

const ago = (time) => `${span(Math.max(0, (Date.now() - Date.parse(time)) / 1000))} ago`;

function until(time) {
  const seconds = (Date.parse(time) - Date.now()) / 1000;
  if (seconds < 1) return "now";
  return seconds < 100 ? `in ${Math.round(seconds)} s` : `in ${span(seconds)}`;
}

const clock = (time) => new Date(time).toLocaleString(undefined, { dateStyle: "short", timeStyle: "medium" });
const minute = (at) => new Date(at * 1000).toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit" });

function changes(run) {
  const parts = [["+", run.inserted], ["~", run.updated], ["−", run.deleted]];
  const some = parts.filter(([, count]) => count > 0);
  return some.length ? some.map(([sign, count]) => sign + grouped(count)).join("  ") : "no rows";
}

function behind(job) {
  if (job.watermark === null) return "not filled";
  if (!job.lag_versions) return "up to date";
  const versions = `${grouped(job.lag_versions)} ${job.lag_versions === 1 ? "version" : "versions"}`;
  return job.lag_seconds > 0 ? `${span(job.lag_seconds)}, ${versions}` : versions;
}

function late(job) {
  return job.max_lag_exceeded ? make("div", { class: "quiet down" }, "max_lag exceeded") : null;
}

function next(job) {
  if (job.run) return job.run.phase;
  if (job.state === "paused") return "when resumed";
  if (job.next_run) return until(job.next_run);
  return job.mode === "continuous" ? "at the next commit" : "by command";
}

// ---- pieces of the page

function make(tag, given = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(given)) {
    if (name === "class") element.className = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

function draw(tag, given) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(given)) element.setAttribute(name, value);
  return element;
}

const stateOf = (job) => make("span", { class: `state ${job.state}` }, WORDS[job.state] ?? job.state);

function row(job) {
  const why = job.trouble
    ? [job.trouble.reason, job.trouble.hint ? make("span", { class: "hint" }, job.trouble.hint) : null]
    : job.paused ? [`paused by ${job.paused.by}${job.paused.reason ? `: ${job.paused.reason}` : ""}`] : null;
  const total = job.run?.rows_total;
  const bar = make("i");
  if (total) bar.style.width = `${Math.min(100, (100 * job.run.rows) / total)}%`;
  const bad = job.quarantined ? make("div", { class: "quiet down" }, `${grouped(job.quarantined)} in quarantine`) : null;
  const last = job.last_run;
  const name = make("button", { class: "name", type: "button" }, job.name);
  const rate = rates.get(job.name) ?? (last && last.seconds > 0 ? last.read / last.seconds : null);
  const place = `${job.source} → ${job.target}`;
  const line = make("tr", {},
    make("td", {}, name, make("div", { class: "quiet place", title: place }, place)),
    make("td", {}, stateOf(job), total ? make("span", { class: `bar ${job.state}` }, bar) : null, bad),
    make("td", { class: "number" }, behind(job), late(job)),
    make("td", { class: "number" }, job.watermark === null ? "–" : grouped(job.watermark)),
    make("td", {}, ...(last ? [changes(last), make("div", { class: "quiet" }, `${ago(last.ended_at)}, took ${span(last.seconds)}`)] : ["–"])),
    make("td", { class: "number spare" }, rate === null ? "–" : short(rate)),
    make("td", { class: "spare" }, next(job)));
  return make("tbody",
    { "data-job": job.name, "aria-selected": job.name === chosen() ? "true" : "false", onclick: () => choose(job.name) },
    line, why && make("tr", { class: "why" }, make("td", { colspan: "7" }, ...why)));
}

function showStates() {
  const counts = new Map(STATES.map((state) => [state, jobs.filter((job) => job.state === state).length]));
  const chip = (state, label, count) => make("button",
    { type: "button", "aria-pressed": only === state ? "true" : "false", onclick: () => { only = state; show(); } },
    make("b", {}, grouped(count)), ` ${label}`);
  const there = STATES.filter((state) => counts.get(state) || only === state);
  byId("states").replaceChildren(chip(null, jobs.length === 1 ? "job" : "jobs", jobs.length),
    ...there.map((state) => chip(state, WORDS[state] ?? state, counts.get(state))));
}

function showJobs() {
  const wanted = byId("find").value.trim().toLowerCase();
  const matches = (job) => (only === null || job.state === only) &&
    [job.name, job.source, job.target].some((text) => text.toLowerCase().includes(wanted));
  // What needs somebody comes first; the rest as the configuration has it.
  const rank = (job) => (job.state === "halted" ? 0 : job.state === "backing_off" ? 1 : 2);
  const shown = jobs.filter(matches).sort((a, b) => rank(a) - rank(b));
  const focused = document.activeElement?.closest("#jobs tbody")?.dataset.job;
  const rows = shown.map(row);
  byId("jobs").replaceChildren(byId("jobs").tHead, ...rows);
  rows.find((element) => element.dataset.job === focused)?.querySelector(".name").focus();
  byId("none").hidden = shown.length > 0;
}

// ---- the chart

function chart(kind, title, points, word, now) {
  const [width, height, left, bottom] = [520, 104, 0, 16];
  const picture = draw("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", role: "img", "aria-label": title });
  const label = make("span", {}, "");
  const figure = make("figure", { class: kind }, make("figcaption", {}, title, label), picture);
  if (points.length < 2) {
    label.textContent = "the first samples are on their way";
    return figure;
  }
  const [from, to] = [points[0].at, points[points.length - 1].at];
  const most = Math.max(...points.map((point) => point.value));
  const top = most || 1;
  const x = (at) => left + ((at - from) / Math.max(1, to - from)) * (width - left);
  const y = (value) => (height - bottom) * (1 - (value / top) * 0.88);
  for (const share of [0, 0.5, 1]) {
    const at = y(top * share);
    picture.append(draw("line", { class: "grid", x1: 0, x2: width, y1: at, y2: at, "vector-effect": "non-scaling-stroke" }));
  }
  const place = (at, value) => `${x(at).toFixed(1)},${y(value).toFixed(1)}`;
  // A rate is that of all the time since the sample before.
  const steps = (point, index) => (kind === "rate" && index > 0 ? [place(points[index - 1].at, point.value)] : []);
  const path = points.flatMap((point, index) => [...steps(point, index), place(point.at, point.value)]).join("L");
  picture.append(draw("path", { class: "area", d: `M${x(from)},${y(0)}L${path}L${x(to)},${y(0)}Z` }));
  picture.append(draw("path", { class: "line", d: `M${path}`, "vector-effect": "non-scaling-stroke" }));
  const cursor = draw("line", { class: "cursor", y1: 0, y2: height - bottom, visibility: "hidden", "vector-effect": "non-scaling-stroke" });
  picture.append(cursor);
  const resting = `${word(points[points.length - 1].value)} now, ${word(most)} at most since ${minute(from)}`;
  label.textContent = resting;
  picture.addEventListener("pointermove", (event) => {
    const box = picture.getBoundingClientRect();
    const at = from + ((event.clientX - box.left) / box.width) * (to - from);
    const near = points.reduce((a, b) => (Math.abs(b.at - at) < Math.abs(a.at - at) ? b : a));
    cursor.setAttribute("x1", x(near.at));
    cursor.setAttribute("x2", x(near.at));
    cursor.setAttribute("visibility", "visible");
    label.textContent = `${word(near.value)} at ${new Date(near.at * 1000).toLocaleTimeString()}`;
  });
  picture.addEventListener("pointerleave", () => {
    cursor.setAttribute("visibility", "hidden");
    label.textContent = resting;
  });
  return figure;
}

function charts() {
  const samples = series.samples;
  const lag = samples.map(({ at, lag_seconds }) => ({ at, value: lag_seconds }));
  const rate = samples.map(({ at }, index) => {
    const [before, after] = [samples[Math.max(0, index - 1)], samples[Math.max(1, index)] ?? samples[index]];
    return { at, value: Math.max(0, after.rows - before.rows) / Math.max(1, after.at - before.at) };
  });
  return [
    chart("lag", "From commit to visible, or behind", lag, span),
    chart("rate", "Rows a second from the source", rate, (value) => short(value)),
  ];
}

// ---- the chosen job

function fact(term, ...what) {
  return make("div", {}, make("dt", {}, term), make("dd", {}, ...what));
}

function showDetail() {
  const detail = byId("detail");
  const job = jobs.find((other) => other.name === chosen());
  detail.hidden = !job;
  byId("main").classList.toggle("split", Boolean(job));
  if (!job) return;
  const kept = { reason: byId("reason")?.value ?? "", focused: document.activeElement?.id, scroll: detail.scrollTop };
  const trouble = job.trouble && make("div", { class: `note ${job.state}` }, make("b", {}, job.trouble.reason),
    job.trouble.hint ? make("span", {}, job.trouble.hint) : null);
  const paused = job.paused && make("div", { class: "note paused" }, make("b", {}, "Paused"),
    make("span", {}, `by ${job.paused.by}, ${ago(job.paused.since)}${job.paused.reason ? `: ${job.paused.reason}` : ""}`));
  const facts = make("dl", {},
    fact("State", stateOf(job)),
    fact("Behind", behind(job), late(job)),
    fact("Version", job.watermark === null ? "–" : `${grouped(job.watermark)} of ${grouped(job.head ?? job.watermark)}`),
    fact("Next run", next(job)),
    fact("Mode", job.mode), fact("Schedule", job.schedule),
    fact("In quarantine", grouped(job.quarantined)),
    fact("Last change", job.last_run ? ago(job.last_run.ended_at) : "–"));
  detail.replaceChildren(
    make("div", { class: "head" },
      make("div", {}, make("h2", {}, job.name), make("div", { class: "quiet" }, `${job.source} → ${job.target}`)),
      make("button", { class: "close", type: "button", "aria-label": "Close", onclick: () => choose("") }, "×")),
    ...controls(job), trouble ?? "", paused ?? "", facts, ...charts(), make("h3", {}, "What was done"), history());
  if (byId("reason")) byId("reason").value = kept.reason;
  if (kept.focused) byId(kept.focused)?.focus();
  detail.scrollTop = kept.scroll;
}

function history() {
  if (past.error) return make("div", { class: "quiet" }, past.error);
  if (past.runs === null) return make("div", { class: "quiet" }, "…");
  if (past.runs.length === 0) return make("div", { class: "quiet" }, "Nothing yet.");
  const lines = past.runs.map((run) => make("tr", {},
    make("td", {}, clock(run.finished_at)), make("td", {}, run.kind),
    make("td", {}, `${run.from === undefined ? "new" : grouped(run.from)} → ${grouped(run.through)}`),
    make("td", {}, changes(run)), make("td", { class: "number" }, span(run.seconds))));
  return make("table", {}, make("thead", {}, make("tr", {},
    ...["When", "What", "Versions", "Rows"].map((title) => make("th", {}, title)), make("th", { class: "number" }, "Took"))),
    make("tbody", {}, ...lines));
}

// ---- pause, resume, sync

function controls(job) {
  const button = (label, what, body) => make("button",
    { type: "button", id: `act-${what}`, onclick: () => act(job.name, what, body?.()) }, label);
  const reason = () => ({ ...(byId("reason").value.trim() && { reason: byId("reason").value.trim() }) });
  const said = asked.job === job.name && asked.text
    ? make("div", { class: asked.failed ? "quiet down" : "quiet", role: "status" }, asked.text) : "";
  const buttons = job.paused
    ? [button("Resume", "resume")]
    : [button("Sync now", "sync"), button("Pause", "pause", reason),
      make("input", { id: "reason", placeholder: "why pause (optional)", "aria-label": "Why it is paused", maxlength: "200" })];
  return [make("div", { class: "acts" }, ...buttons), said];
}

async function act(name, what, body) {
  const done = { sync: "It runs.", pause: "It is paused.", resume: "It may run again." };
  try {
    await ask(ofJob(name, `/${what}`), "POST", body);
    asked = { job: name, text: done[what], failed: false };
    if (byId("reason")) byId("reason").value = "";
  } catch (error) {
    asked = { job: name, text: [error.message, error.hint].filter(Boolean).join(" · "), failed: true };
  }
  await refresh();
}

// ---- the loop

function choose(name) {
  location.hash = name ? encodeURIComponent(name) : "";
}

function measure() {
  const now = Date.now();
  rates = new Map();
  const before = seen;
  seen = new Map();
  for (const { name, run } of jobs) {
    if (!run) continue;
    const last = before.get(name);
    if (last && last.phase === run.phase && run.rows > last.rows) rates.set(name, ((run.rows - last.rows) * 1000) / (now - last.now));
    seen.set(name, { phase: run.phase, rows: run.rows, now });
  }
}

async function fetchDetail() {
  const job = jobs.find((other) => other.name === chosen());
  if (!job) return;
  const [name, now] = [job.name, Date.now()];
  if (series.job !== name || now - series.at >= SERIES_EVERY_MS) {
    const { samples } = await ask(ofJob(name, "/series"));
    series = { job: name, at: now, samples };
  }
  // A run that did something moved the version.
  const isAgain = past.error && now - past.at >= HISTORY_AGAIN_MS;
  if (past.job !== name || past.version !== job.watermark || isAgain) {
    past = { job: name, version: job.watermark, at: now, runs: past.job === name ? past.runs : null, error: null };
    try {
      past.runs = (await ask(ofJob(name, "/history?limit=20"))).runs;
    } catch (error) {
      past.error = error.message;
    }
  }
}

function show() {
  showStates();
  showJobs();
  showDetail();
}

async function refresh() {
  const pulse = byId("pulse");
  try {
    ({ jobs } = await ask("jobs"));
    measure();
    byId("login").hidden = true;
    byId("main").hidden = false;
    pulse.textContent = "live";
    pulse.className = "";
    show();
    await fetchDetail();
    showDetail();
  } catch (error) {
    if (error.status === 401 || error.status === 403) {
      byId("main").hidden = true;
      byId("login").hidden = false;
      byId("refused").textContent = sessionStorage.getItem("token") || error.status === 403
        ? [error.message, error.hint].filter(Boolean).join(" · ") : "";
    }
    pulse.textContent = error.status ? "" : "no answer";
    pulse.className = "lost";
  }
  const trouble = jobs.filter((job) => GONE.has(job.state)).length;
  document.title = trouble ? `(${trouble}) Lakeferry` : "Lakeferry";
}

async function live() {
  if (!document.hidden && (byId("login").hidden || sessionStorage.getItem("token"))) await refresh();
  setTimeout(live, EVERY_MS);
}

byId("find").addEventListener("input", showJobs);
byId("login").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("token", byId("token").value);
  refresh();
});
window.addEventListener("hashchange", () => {
  asked = { job: null, text: "", failed: false };
  if (byId("reason")) byId("reason").value = "";
  past = { job: null, version: undefined, at: 0, runs: null, error: null };
  series = { job: null, at: 0, samples: [] };
  show();
  refresh();
});
live();
