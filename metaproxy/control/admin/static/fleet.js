// The fleet: what is wrong comes first, then who has what, then what is being rolled out.

import { ask } from "./api.js";
import { ago, matches, plural } from "./figures.js";
import { html, render, useState } from "./htm-preact.js";
import { Action, Badge, Empty, Find, Section, useSome } from "./parts.js";
import { ForgetToken, Login, Shell, Title } from "./shell.js";

const KIND = { "in force": "good", behind: "warn", refused: "bad", away: "plain" };
const SECTIONS = [["rollouts", "Rollouts"], ["nodes", "Nodes"], ["versions", "Versions"]];

const state = { fleet: null, versions: null, rollouts: null };
const shell = new Shell(state);

shell.poll("fleet", () => "fleet", 1500, (answer) => (state.fleet = answer));
shell.poll("versions", () => "versions", 3000, (answer) => (state.versions = answer.versions));
shell.poll("rollouts", () => "rollouts", 2000, (answer) => (state.rollouts = answer.rollouts));

function Page() {
  shell.use();
  if (state.locked !== null) {
    return html`<${Login} shell=${shell} title="fleet">Of <code>admin: tokens:</code> in <code>control.yaml</code>.<//>`;
  }
  const { fleet, versions, rollouts } = state;
  return html`
    <${Header} />
    <main>
      ${fleet && html`<${Problems} fleet=${fleet} rollouts=${rollouts || []} /><${Totals} fleet=${fleet} />`}
      ${rollouts && html`<${Rollouts} rollouts=${rollouts} />`}
      ${fleet && html`<${Nodes} nodes=${fleet.nodes} total=${fleet.total} />`}
      ${versions && html`<${Versions} versions=${versions} />`}
    </main>
    <footer>${fleet && html`metaproxy-control ${fleet.server}, from ${fleet.source}`}</footer>`;
}

function Header() {
  const { fleet, lost } = state;
  const [kind, word] = lost ? ["bad", "no answer"] : !fleet ? ["plain", "asking"] : fleet.applied ? ["good", "serving"] : ["bad", "nothing to serve"];
  return html`<header>
    <${Title} text="fleet" />
    <${Badge} kind=${kind}>${word}<//>
    <span class="facts">${fleet && html`<b>${fleet.server}</b> serves <b>${fleet.source}</b>, ${plural(fleet.changes, "change", "changes")} since its start`}</span>
    <span class="tools">
      <a href="help">API</a>
      <${ForgetToken} shell=${shell} />
    </span>
  </header>
  <nav aria-label="Sections"><ul>${SECTIONS.map(([id, title]) => html`<li key=${id}><a href=${`#${id}`}>${title}</a></li>`)}</ul></nav>`;
}

function Problem({ level, what, detail, lines }) {
  return html`<div class=${`problem ${level}`}><b>${what}</b>${detail && html`<span>${detail}</span>`}
    ${lines && html`<ul>${lines.slice(0, 10).map((line) => html`<li key=${line}><code>${line}</code></li>`)}</ul>`}</div>`;
}

function Problems({ fleet, rollouts }) {
  const found = [];
  if (state.lost) found.push({ level: "bad", what: "This server gives no answer" });
  if (fleet.lost) found.push({ level: "bad", what: "The source can't be read; what is in force stays so", detail: fleet.lost });
  if (fleet.refused.length) found.push({ level: "bad", what: "What the source says is refused; what is in force stays so", lines: fleet.refused });
  if (fleet.states.refused) found.push({ level: "bad", what: `${plural(fleet.states.refused, "node refuses", "nodes refuse")} what it is sent`, detail: "They run what they accepted before." });
  for (const one of rollouts) {
    if (one.returned) found.push({ level: "warn", what: `The rollout of ${one.release} was ended`, detail: one.returned.reason });
  }
  for (const [name, text] of Object.entries(state.slow)) found.push({ level: "warn", what: `No ${name}`, detail: text });
  for (const text of fleet.warnings.slice(0, 3)) found.push({ level: "note", what: text });
  return html`<section class="problems" aria-label="What is wrong" role="status">
    ${!found.some((one) => one.level !== "note") && html`<p class="fine"><span aria-hidden="true">✓</span> Nothing is wrong</p>`}
    ${found.map((one) => html`<${Problem} key=${one.what} ...${one} />`)}
  </section>`;
}

function Totals({ fleet }) {
  const { states } = fleet;
  const cells = [["In force", states["in force"]], ["Behind", states.behind], ["Refused", states.refused], ["Away", states.away], ["Streams", fleet.streams]];
  return html`<dl class="totals states">${cells.map(([name, value]) => html`<div key=${name} class=${name === "Refused" && value ? "wrong" : ""}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}

function Nodes({ nodes, total }) {
  const [text, setText] = useState("");
  const found = nodes.filter((one) => matches(text, one.id, one.cluster, one.state, one.agent, one.version));
  const [some, more] = useSome(found, 50);
  return html`<${Section} id="nodes" title="Nodes" aside=${html`<${Find} label="Find a node" value=${text} set=${setText} />`}>
    ${!found.length && html`<${Empty}>${nodes.length ? "No node has that." : "No proxy has asked yet."}<//>`}
    ${found.length > 0 && html`<table class="fleet">
      <thead><tr><th>Node</th><th>State</th><th>Release</th><th>Version in force</th><th>Runs</th><th>Since</th></tr></thead>
      <tbody>${some.map((one) => html`<${Node} key=${one.id} node=${one} />`)}</tbody>
    </table>`}
    ${more}
    ${total > nodes.length && html`<p class="muted">${total - nodes.length} more are not listed</p>`}
  <//>`;
}

const seconds = (text) => (text ? (Date.now() - Date.parse(text)) / 1000 : null);

function Node({ node }) {
  const behind = node.state === "behind" && node.behind_seconds !== null ? `, ${ago(node.behind_seconds)}` : "";
  return html`<tr>
    <td><a href=${`nodes/${encodeURIComponent(node.id)}`}>${node.id}</a><small>${[node.cluster, node.zone, node.address].filter(Boolean).join(" · ")}</small>
      ${node.refused.length > 0 && html`<${Refusals} refused=${node.refused} />`}</td>
    <td><${Badge} kind=${KIND[node.state]}>${node.state}${behind}<//></td>
    <td>${node.release || "–"}</td>
    <td class="version">${node.version || "–"}${node.version !== node.target && node.state !== "away" && html`<small>is to have ${node.target}</small>`}</td>
    <td>${node.agent || "–"}</td>
    <td>${ago(seconds(node.away_since || node.since))}</td>
  </tr>`;
}

// A response is refused as a whole: its resources share the reason.
function Refusals({ refused }) {
  const reasons = new Map();
  for (const one of refused) reasons.set(one.error, [...(reasons.get(one.error) || []), one]);
  return html`<ul class="refusals">${[...reasons].slice(0, 5).map(([error, all]) => html`<li key=${error}>
    ${all[0].type} <b>${all.slice(0, 5).map((one) => one.name).join(", ")}${all.length > 5 ? ` and ${all.length - 5} more` : ""}</b>: ${error}</li>`)}</ul>`;
}

function Rollouts({ rollouts }) {
  return html`<${Section} id="rollouts" title="Rollouts">
    ${!rollouts.length && html`<${Empty}>The source has no rollout.<//>`}
    ${rollouts.map((one) => html`<${Rollout} key=${one.group} rollout=${one} />`)}
  <//>`;
}

function Unwatched({ nodes }) {
  const reasons = new Map();
  for (const [node, why] of Object.entries(nodes)) reasons.set(why, [...(reasons.get(why) || []), node]);
  return [...reasons].map(([why, all]) => html`<p key=${why} class="muted">${all.slice(0, 3).join(", ")}${all.length > 3 ? ` and ${all.length - 3} more` : ""} not watched: ${why}</p>`);
}

const STATES = { "under way": "note", waiting: "plain", complete: "good", returned: "warn" };

function Rollout({ rollout }) {
  const { release, before, group, percent, rates } = rollout;
  const end = async () => {
    await ask("rollouts/return", "POST", JSON.stringify({ group, reason: "by an operator, on the page" }));
    await shell.pollAll();
  };
  const rate = (one) => (one.requests ? `${one.percent} % of ${Math.round(one.requests)} requests fail` : "no requests seen");
  return html`<div class="rollout">
    <div class="line">
      <strong>${before || "nothing"} → ${release}</strong> <${Badge} kind=${STATES[rollout.state]}>${rollout.state}<//>
      ${group && html`<span class="muted">of ${group}</span>`}
      <span>${percent} % of the nodes</span>
      ${rollout.state === "under way" && html`<span class="muted">with it ${rate(rates.new)}; without it ${rate(rates.others)}</span>`}
      <span class="act">${["under way", "complete"].includes(rollout.state) && before && html`<${Action} label="Return" about=${release} run=${end} />`}</span>
    </div>
    <div class="shares" aria-hidden="true"><i class="c0" style=${{ flexGrow: percent }}></i><i class="rest" style=${{ flexGrow: 100 - percent }}></i></div>
    <ol>${rollout.steps.map((one, place) => html`<li key=${place} class=${place === rollout.step && !rollout.returned ? "now" : ""}>${one.percent} % for ${ago(one.hold_seconds)}</li>`)}
      ${rollout.next_step && html`<li>next step ${new Date(rollout.next_step).toLocaleTimeString()}</li>`}</ol>
    <${Unwatched} nodes=${rollout.without_counters} />
  </div>`;
}

function Versions({ versions }) {
  const [some, more] = useSome(versions, 30);
  return html`<${Section} id="versions" title="Versions">
    <table class="versions">
      <thead><tr><th>Release</th><th>Group</th><th>Version</th><th>Resources</th><th class="n">Nodes</th><th class="n">In force</th></tr></thead>
      <tbody>${some.map((one) => html`<tr key=${`${one.release}|${one.group}`}>
        <td>${one.release || "the only one"}</td><td>${one.group || "all others"}</td><td class="version">${one.version}</td>
        <td>${Object.entries(one.types).map(([type, value]) => `${value.resources} ${type}`).join(", ") || "none"}</td>
        <td class="n" data-label="nodes">${one.nodes}</td><td class="n" data-label="in force">${one.in_force}</td></tr>`)}</tbody>
    </table>
    ${more}
  <//>`;
}

render(html`<${Page} />`, document.getElementById("page"));
