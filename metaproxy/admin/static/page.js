// The page: what it knows, how it asks for it, and the order in which it tells: what is wrong comes first.

import { ask } from "./api.js";
import { Clusters } from "./clusters.js";
import { ago, clock, clusterCounters, Counters, plural, problems, routeCounters } from "./figures.js";
import { html, render } from "./htm-preact.js";
import { Badge } from "./parts.js";
import { Routes } from "./routes.js";
import { Runtime } from "./runtime.js";
import { ForgetToken, Login, Shell, Title } from "./shell.js";
import { Statements } from "./statements.js";
import { Tap } from "./tap.js";
import { Totals, Traffic } from "./traffic.js";
import { Workers } from "./workers.js";

const WINDOWS = [10, 30, 60];
const HISTORY = 60;
const SECTIONS = [["traffic", "Traffic"], ["statements", "Statements"], ["runtime", "Live values"], ["routes", "Routes"], ["clusters", "Clusters"], ["workers", "Workers"], ["tap", "Tap"]];

const state = {
  server: null, problems: null, flows: null, clusters: null, routes: null, listeners: null, runtime: null, statements: null, workers: null,
  clusterCounts: new Counters(), routeCounts: new Counters(), history: [],
  seconds: 10, paused: false, wanted: null, caller: "", counting: false, order: "time",
};
const shell = new Shell(state);

const poll = (name, path, every, take, resting = () => false) => shell.poll(name, path, every, take, () => state.paused || resting());

// There are workers from the start on, or never.
const alone = () => !state.server || !state.server.workers;

const polls = {
  server: poll("state", () => "server_info", 2000, (answer) => {
    const first = alone();
    state.server = answer;
    if (first && !alone()) polls.workers.now();
  }),
  problems: poll("problems", () => `problems?seconds=${state.seconds}`, 2000, (answer) => (state.problems = answer.problems)),
  flows: poll("traffic", () => `flows?${new URLSearchParams({ seconds: state.seconds, limit: 500, caller: state.caller })}`, 1500, (answer) => {
    state.flows = answer;
    state.history = [...state.history, { rate: answer.total.rate, errors: answer.total.error_rate }].slice(-HISTORY);
  }),
  statements: poll("statements", () => `statements?${new URLSearchParams({ sort: state.order, limit: 300, count: state.counting })}`, 2000, (answer) => (state.statements = answer)),
  clusters: poll("clusters", () => `clusters?seconds=${state.seconds}`, 2000, (answer) => {
    state.clusters = answer.clusters;
    state.clusterCounts.add(Date.now(), clusterCounters(answer.clusters));
  }),
  routes: poll("routes", () => `routes?seconds=${state.seconds}`, 2000, (answer) => {
    state.routes = answer.listeners;
    state.routeCounts.add(Date.now(), routeCounters(answer.listeners));
  }),
  listeners: poll("listeners", () => "listeners", 4000, (answer) => (state.listeners = answer.listeners)),
  runtime: poll("live values", () => "runtime", 3000, (answer) => (state.runtime = answer.runtime)),
  workers: poll("workers", () => "workers", 2000, (answer) => (state.workers = answer.workers), alone),
};

// The tap takes a list of key=value, or JSON where a value has a character that means something there.
function tap(listener, match) {
  const plain = !Object.values(match).some((value) => /[,={:]/.test(value) || value.trim() !== value);
  const text = plain ? Object.entries(match).map(([key, value]) => `${key}=${value}`).join(", ") : JSON.stringify(match);
  state.wanted = { listener, match: text };
  shell.redraw();
}

const tapFlow = ({ listener, cluster, operation }) => tap(listener, cluster === "-" ? { operation } : { operation, cluster });
const tapStatement = ({ listener, fingerprint }) => tap(listener, { fingerprint });

const statements = {
  tap: tapStatement,
  count(on) {
    state.counting = on;
    shell.redraw();
    polls.statements.now();
  },
  sort(order) {
    state.order = order;
    polls.statements.now();
  },
  async reset() {
    await ask("statements/reset", "POST");
    await polls.statements.now();
  },
};

function callers(key) {
  state.caller = key;
  polls.flows.now();
}

function Page() {
  shell.use();
  if (state.locked !== null) {
    return html`<${Login} shell=${shell} title="metaproxy">Of <code>admin: tokens:</code> in the configuration; <code>read</code> looks, <code>write</code> changes.<//>`;
  }
  const { server, flows, history, clusters, listeners, routes, runtime, seconds } = state;
  return html`
    <${Header} />
    <main>
      <${Problems} found=${problems(state)} known=${state.problems !== null || state.lost !== null} />
      <${Totals} flows=${flows} history=${history} clusters=${clusters} listeners=${listeners} />
      <${Traffic} flows=${flows} tap=${tapFlow} callers=${callers} />
      ${shown("statements") && html`<${Statements} statements=${state.statements} counting=${state.counting} order=${state.order} ...${statements} />`}
      <${Runtime} runtime=${runtime} again=${() => Promise.all([polls.runtime, polls.routes, polls.server, polls.problems].map((one) => one.now()))} />
      <${Routes} routes=${routes} clusters=${clusters} counters=${state.routeCounts} seconds=${seconds} />
      <${Clusters} clusters=${clusters} counters=${state.clusterCounts} seconds=${seconds} again=${() => Promise.all([polls.clusters.now(), polls.problems.now()])} />
      <${Workers} workers=${state.workers} />
      <${Tap} listeners=${listeners} wanted=${state.wanted} />
    </main>
    <footer>${server && html`metaproxy ${server.version}, process ${server.pid}, Python ${server.python}, Twisted ${server.twisted}`}</footer>`;
}

// Whether a section has something to show, now or at any time.
function shown(id) {
  if (id === "workers") return state.workers !== null;
  if (id === "runtime") return Object.keys(state.runtime || {}).length > 0;
  return id !== "statements" || (state.statements !== null && state.statements.listeners.length > 0);
}

function Header() {
  const { server, lost, paused, seconds } = state;
  const [kind, word] = lost ? ["bad", "no answer"] : !server ? ["plain", "asking"] : server.state === "DRAINING" ? ["bad", "draining"] : server.ready ? ["good", "ready"] : ["bad", "not ready"];
  const node = server && [server.node.id, server.node.cluster].filter(Boolean).join(" · ");
  const choose = (number) => {
    state.seconds = number;
    for (const poll of [polls.flows, polls.problems, polls.clusters, polls.routes]) poll.now();
    shell.redraw();
  };
  const pause = () => {
    state.paused = !paused;
    if (!state.paused) shell.pollAll();
    shell.redraw();
  };
  return html`<header>
    <${Title} text="metaproxy" />
    <${Badge} kind=${kind}>${word}<//>
    <span class="facts">
      ${server && html`${node && html`<b>${node}</b> `}configuration <b>${server.config_version}</b> of ${clock(server.config_applied)}, up ${ago(server.uptime_seconds)}`}
    </span>
    <span class="tools">
      <span role="group" aria-label="Seconds to look back" class="choice">
        ${WINDOWS.map((number) => html`<button key=${number} aria-pressed=${number === seconds} onClick=${() => choose(number)}>${number} s</button>`)}
      </span>
      <button aria-pressed=${paused} onClick=${pause}>${paused ? "Go on" : "Hold"}</button>
      <a href="help">API</a>
      <${ForgetToken} shell=${shell} />
    </span>
  </header>
  <nav aria-label="Sections"><ul>
    ${SECTIONS.filter(([id]) => shown(id)).map(([id, title]) => html`<li key=${id}><a href=${`#${id}`}>${title}</a></li>`)}
  </ul></nav>`;
}

function Problems({ found, known }) {
  const slow = Object.entries(state.slow);
  if (!known) return null;
  const worst = found.filter((one) => one.level !== "note");
  return html`<section class="problems" aria-label="What is wrong" role="status">
    ${!worst.length && html`<p class="fine"><span aria-hidden="true">✓</span> Nothing is wrong</p>`}
    ${found.slice(0, 12).map((one) => html`<div key=${one.what} class=${`problem ${one.level}`}>
      <b>${one.place && one.place !== "refused" ? html`<a href=${`#${one.place}`}>${one.what}</a>` : one.what}</b>
      ${one.detail && html`<span>${one.detail}</span>`}
      ${one.lines && html`<ul>${one.lines.slice(0, 10).map((line) => html`<li key=${line}><code>${line}</code></li>`)}</ul>`}
      ${one.lines && one.lines.length > 10 && html`<span>and ${plural(one.lines.length - 10, "more error", "more errors")}</span>`}
    </div>`)}
    ${found.length > 12 && html`<p class="muted">and ${found.length - 12} more</p>`}
    ${slow.map(([name, text]) => html`<div key=${name} class="problem warn"><b>No ${name}</b><span>${text}</span></div>`)}
  </section>`;
}

render(html`<${Page} />`, document.getElementById("page"));
