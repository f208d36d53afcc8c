// Shows the list of cases and each case from the JSON in this page. Text is only ever set as text:
// nothing here parses markup, so what a model wrote stays what it wrote.
"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const records = data.records;
const byId = new Map(records.map((record) => [record.id, record]));
const FACETS = ["profile", "lane", "category", "outcome", "layer", "kind", "expected", "got", "change"];
const WORST = ["error", "violation", "miss", "known", "pass"];
const GROUPS = {
  failed: (outcome) => outcome !== "pass" && outcome !== "known",
  counted: (outcome) => outcome !== "known",
};
const GROUP_NAMES = { failed: "failed (error, violation, miss)", counted: "all but known" };
const SORTS = {
  "worst first": (a, b) => WORST.indexOf(a.outcome) - WORST.indexOf(b.outcome),
  "slowest first": (a, b) => b.seconds - a.seconds,
  "by case": (a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0),
};
const PAST = { p: "pass", f: "fail", e: "error", k: "known", "-": "not asked" };
const PAGE = 200;
let filters = {}; // facet, q or sort → value
let found = []; // records that the filters leave, in the order of the list
let limit = PAGE;

/** An element with properties, attributes (names with "-") and children; strings become text. */
function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-")) element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children.filter((child) => child !== null && child !== ""));
  return element;
}

const words = (name) => name.replaceAll("_", " ");
const chip = (outcome) => make("i", { className: `chip ${outcome}` }, outcome);
const nodeOf = (record) => record.id.slice(0, record.id.lastIndexOf("["));
const caseLink = (id) => `#/case/${encodeURIComponent(id)}`;

function listLink() {
  const set = Object.entries(filters).filter(([, value]) => value);
  return set.length ? `#/cases?${new URLSearchParams(set)}` : "#/cases";
}

// --- the list --------------------------------------------------------------------------------

function searchable(record) {
  record.search ??= [
    record.id, record.title, record.reason, record.tools.join(" "), record.tags.join(" "),
    shownText(record.expects), shownText(record.response),
  ].join("\n").toLowerCase();
  return record.search;
}

function matches(record) {
  for (const facet of FACETS) {
    const wanted = filters[facet];
    if (!wanted) continue;
    const group = facet === "outcome" && GROUPS[wanted];
    if (group ? !group(record.outcome) : record[facet] !== wanted) return false;
  }
  const terms = (filters.q ?? "").toLowerCase().split(/\s+/).filter(Boolean);
  return terms.every((term) => searchable(record).includes(term));
}

/** A choice among the values that the records have; none where there is nothing to choose. */
function facetControl(facet) {
  const values = [...new Set(records.map((record) => record[facet]))].filter(Boolean).sort();
  const groups = facet === "outcome" ? Object.keys(GROUPS) : [];
  if (!values.length || (values.length === 1 && facet !== "outcome" && facet !== "change")) return null;
  return make("label", {}, facet, make("select", { name: facet }, make("option", { value: "" }, "all"),
    ...groups.map((value) => make("option", { value }, GROUP_NAMES[value])),
    ...values.map((value) => make("option", { value }, words(value)))));
}

function buildFilters() {
  const form = document.getElementById("filters");
  const search = make("input", { type: "search", name: "q", placeholder: "id, question, reason, tool, tag" });
  const sort = make("select", { name: "sort" }, ...Object.keys(SORTS).map((name) => make("option", { value: name }, name)));
  const clear = make("button", { type: "button" }, "clear");
  clear.addEventListener("click", () => { location.hash = "#/cases"; });
  document.getElementById("first").append(
    make("label", { className: "search" }, "search", search), make("label", {}, "order", sort), clear);
  document.querySelector("#facets > div").append(...FACETS.map(facetControl).filter(Boolean));
  document.getElementById("facets").open = matchMedia("(min-width: 641px)").matches;
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", () => {
    filters = Object.fromEntries(new FormData(form));
    if (filters.sort === Object.keys(SORTS)[0]) delete filters.sort;
    limit = PAGE;
    history.replaceState(null, "", listLink());
    showList();
  });
}

function fillFilters() {
  for (const control of document.getElementById("filters").elements) {
    if (!control.name) continue;
    control.value = filters[control.name] ?? (control.name === "sort" ? Object.keys(SORTS)[0] : "");
  }
}

function row(record) {
  const blame = record.layer ? [make("b", {}, record.layer), make("small", {}, words(record.kind))] : [];
  return make("tr", {},
    make("td", {}, chip(record.outcome)),
    make("td", {}, ...blame),
    make("td", {}, make("a", { href: caseLink(record.id) }, record.title),
      make("small", {}, record.outcome === "pass" ? record.id : record.reason || record.id)),
    make("td", {}, record.profile, make("small", {}, record.lane + (record.repeat ? ` #${record.repeat}` : ""))),
    make("td", { className: "number" }, record.seconds.toFixed(1)));
}

function select() {
  found = records.filter(matches);
  found.sort(SORTS[filters.sort] ?? SORTS["worst first"]);
}

function showList() {
  select();
  for (const control of document.querySelectorAll("#filters select")) {
    control.classList.toggle("set", Boolean(filters[control.name]));
  }
  document.querySelector("#list tbody").replaceChildren(...found.slice(0, limit).map(row));
  document.getElementById("count").textContent = `${found.length} of ${records.length} answers`;
  const more = document.getElementById("more");
  more.hidden = found.length <= limit;
  more.textContent = `show all ${found.length}`;
}

// --- a case ----------------------------------------------------------------------------------

const shownText = (shown) => (typeof shown === "string" ? shown : shown.text);

/** A block of text; where it was cut, that is said, with the whole length. */
function block(shown) {
  const parts = [make("pre", { tabIndex: 0 }, shownText(shown))];
  if (typeof shown !== "string") {
    const shownLength = shown.text.length.toLocaleString("en");
    parts.push(make("p", { className: "quiet" },
      `Cut to ${shownLength} of ${shown.length.toLocaleString("en")} characters; records.jsonl has them all.`));
  }
  return parts;
}

function copyButton(text) {
  const button = make("button", { type: "button" }, "copy");
  button.addEventListener("click", async () => {
    const copied = await copy(text());
    button.textContent = copied ? "copied" : "select the text and copy it";
    button.classList.toggle("done", copied);
  });
  return button;
}

/** The clipboard API is not there in every page opened from a file; a selection can be copied. */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = make("textarea", { value: text });
    document.body.append(area);
    area.select();
    const copied = document.execCommand("copy");
    area.remove();
    return copied;
  }
}

function heading(title, ...controls) {
  return make("div", { className: "heading" }, make("h2", {}, title), ...controls);
}

function evidence(title, shown, open = false) {
  if (!shown) return "";
  const controls = typeof shown === "string" ? [copyButton(() => shown)] : [];
  return make("details", { className: "evidence", open }, make("summary", {}, title), ...controls, ...block(shown));
}

function tokens(written) {
  const pieces = written.ids.flatMap((id, place) => {
    const whole = (written.texts[place] ?? "").replaceAll("\n", "⏎\n");
    const ends = whole.endsWith("\n");
    const text = ends ? whole.slice(0, -1) : whole;
    const piece = text ? make("span", {}, text) : make("span", { className: "end" }, "∅");
    const token = make("span", { className: "token", title: `token ${place}, id ${id}` }, piece, make("small", {}, String(id)));
    return ends ? [token, "\n"] : [token];
  });
  return make("pre", { tabIndex: 0 }, ...pieces);
}

function wroteBlock(record) {
  const written = record.written;
  if (!written) {
    return [heading("The model wrote"), make("p", { className: "quiet" }, "This lane left no evidence of the raw text.")];
  }
  const body = make("div");
  const showText = () => body.replaceChildren(...block(written.text));
  showText();
  const controls = [copyButton(() => shownText(written.text))];
  if (written.ids.length) {
    const toggle = make("button", { type: "button", "aria-pressed": "true" }, "tokens");
    toggle.addEventListener("click", () => {
      const on = toggle.getAttribute("aria-pressed") !== "true";
      toggle.setAttribute("aria-pressed", String(on));
      if (on) body.replaceChildren(tokens(written));
      else showText();
    });
    controls.unshift(toggle);
    if (written.texts.length) body.replaceChildren(tokens(written));
    else {
      toggle.setAttribute("aria-pressed", "false");
      toggle.textContent = "token ids";
    }
  }
  const note = written.plain ? [make("p", { className: "quiet" }, "Seen in the plain request; this lane does not show it.")] : [];
  return [heading("The model wrote", ...controls), ...note, body];
}

/** A table that scrolls by the keyboard, too. */
const scroll = (label, table) => make("div", { className: "scroll", tabIndex: 0, role: "group", "aria-label": label }, table);

function diffTable(differences) {
  const head = ["place", "expected", "got", "how"].map((name) => make("th", { className: "quiet" }, name));
  const rows = differences.map(([path, expected, got, how]) => make("tr", {},
    make("td", {}, path), make("td", { className: "expected" }, expected),
    make("td", { className: "got" }, got), make("td", {}, how)));
  return scroll("differences", make("table", { className: "diff" }, make("tr", {}, ...head), ...rows));
}

/** Of a check that passed and has nothing to say its name alone is there. */
function checksTable(checks) {
  const told = checks.map((check) => check.check ? check : { check, passed: true, reason: "", differences: [] });
  const rows = told.map((check) => make("tr", {},
    make("th", {}, words(check.check)),
    make("td", {}, check.passed ? chip("pass") : make("i", { className: "chip violation" }, "fail")),
    make("td", {}, check.passed ? "" : `${words(check.kind)} (layer: ${check.layer})`),
    make("td", {}, check.reason, check.differences.length ? diffTable(check.differences) : "")));
  return scroll("checks", make("table", { className: "checks rows" }, make("tbody", {}, ...rows)));
}

function verdict(record) {
  const blame = record.layer ? ` · ${words(record.kind) || "no answer"} · layer: ${record.layer}` : "";
  return make("div", { className: `verdict ${record.outcome}` },
    make("b", {}, record.outcome + blame), record.reason ? `: ${record.reason}` : "");
}

/** What became of the case in earlier runs, the oldest first; this one is the last. */
function historyBlock(record) {
  if (!data.nights.length) return "";
  const nights = data.nights.map(([run, day], place) => {
    const mark = record.past[place];
    const outcome = PAST[mark.toLowerCase()];
    const other = mark !== mark.toLowerCase();
    const title = `${run}: ${outcome}${other ? ", of another content or by other graders" : ""}`;
    return make("li", { title }, make("i", { className: `chip ${outcome.replace("fail", "violation")}` }, outcome + (other ? "*" : "")),
      make("small", {}, day));
  });
  const now = make("li", {}, chip(record.outcome), make("small", {}, "this run"));
  const note = /[A-Z]/.test(record.past) ? make("p", { className: "quiet" }, "* of another content of the case, or by other graders") : "";
  return make("div", { id: "history" }, make("b", {}, "Earlier runs"), record.since ? `: ${record.since}` : "",
    make("ol", { className: "nights" }, ...nights, now), note);
}

/** The same case in other lanes, profiles and repeats. */
function sameCase(record) {
  const node = nodeOf(record);
  const others = records.filter((other) => other !== record && nodeOf(other) === node);
  if (!others.length) return "";
  const place = (other) => `${other.profile}, ${other.lane}${other.repeat ? ` #${other.repeat}` : ""}`;
  return make("p", { id: "same" }, make("b", {}, "The same case"), ...others.flatMap((other) =>
    [" ", make("span", { className: "other" }, make("a", { href: caseLink(other.id) }, place(other)), " ", chip(other.outcome))]));
}

/** The shell line that sends the request again; none of one that was cut. */
function curlBlock(record) {
  if (typeof record.request !== "string") return "";
  // White space between the parts of JSON goes, numbers stay as they are written.
  const body = record.request.replace(/("(?:\\.|[^"\\])*")|\s+/g, (_, text) => text ?? "");
  const silent = /^  "stream": true/m.test(record.request) ? "-sN" : "-s";
  const data = `'${body.replaceAll("'", `'"'"'`)}'`;
  const url = make("input", { value: "http://127.0.0.1:PORT/v1", size: 28, "aria-label": "server's base URL" });
  const current = () => `curl ${silent} ${url.value.replace(/\/+$/, "")}/chat/completions -H 'Content-Type: application/json' -d ${data}`;
  const line = make("pre", { tabIndex: 0, id: "curl" }, current());
  url.addEventListener("input", () => { line.textContent = current(); });
  return make("div", {}, heading("Repeat it", make("span", {}, url, " ", copyButton(current))), line);
}

function beforeBlock(record) {
  const before = data.before[record.id];
  if (!before) return [];
  const same = before.written && record.written && shownText(before.written.text) === shownText(record.written.text);
  const told = same ? make("p", {}, make("b", {}, "The model wrote the same"), " as now: what changed is behind it.") : "";
  const wrote = before.written ? block(before.written.text) : [make("p", { className: "quiet" }, "no evidence")];
  return [make("div", { id: "before" }, heading(`Before, in ${data.before_run}`), verdict(before), told,
    make("div", { className: "columns" },
      make("div", {}, make("h3", {}, "The model wrote"), ...wrote),
      make("div", {}, make("h3", {}, "The server made of it"), ...block(before.response))))];
}

function asked(record) {
  const messages = record.messages.length === 1 ? block(record.messages[0].text)
    : record.messages.flatMap((message) => [make("h3", {}, message.role), ...block(message.text)]);
  return [...messages, make("p", { className: "quiet" }, `Available tools: ${record.tools.join(", ") || "none"}`)];
}

function notes(record) {
  const links = record.links.map((url) => make("a", { href: url, rel: "noreferrer" }, url));
  const parts = [...new Set([record.place, record.category, ...record.tags])].join(" · ");
  return [make("p", { className: "quiet" }, parts, ...links.flatMap((link) => [" · ", link])),
    record.defect ? make("p", {}, "Known defect: ", record.defect) : ""];
}

function showCase(record) {
  const place = found.indexOf(record);
  const step = (offset, title) => {
    const other = found[place + offset];
    return place >= 0 && other ? make("a", { href: caseLink(other.id), rel: offset > 0 ? "next" : "prev" }, title) : "";
  };
  const facts = Object.entries(record.facts).map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value)));
  const where = place >= 0 ? `${place + 1} of ${found.length}` : "";
  document.getElementById("view-case").replaceChildren(make("div", { className: "case" },
    make("div", { className: "bar-of-links" }, make("a", { href: listLink(), id: "back" }, "← cases"),
      step(-1, "previous"), step(1, "next"), make("span", { className: "quiet" }, where)),
    make("h1", { tabIndex: -1 }, record.title),
    make("p", { className: "mono quiet" }, record.id),
    verdict(record),
    sameCase(record),
    historyBlock(record),
    make("div", { className: "columns" },
      make("div", {}, ...wroteBlock(record)),
      make("div", {}, heading("The server made of it"), ...block(record.response),
        heading("Expected"), ...block(record.expects))),
    ...beforeBlock(record),
    heading("Question"), ...asked(record), ...notes(record),
    heading("Checks"), checksTable(record.checks),
    make("dl", { className: "facts" }, ...facts),
    curlBlock(record),
    heading("Evidence"),
    evidence("request, JSON", record.request),
    evidence("response, JSON", record.whole),
    evidence("SSE transcript", record.transcript),
    evidence("server log meanwhile; requests in flight at one time share it", record.log)));
}

// --- where we are ----------------------------------------------------------------------------

function show(view) {
  for (const section of document.querySelectorAll("main > section")) section.hidden = section.id !== `view-${view}`;
  for (const link of document.querySelectorAll("nav a")) {
    const here = link.dataset.view === (view === "case" ? "cases" : view);
    if (here) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

function route() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?", 2);
  const [view, id] = path.split("/", 2);
  if (view === "main") return;
  const record = view === "case" ? byId.get(decodeURIComponent(id ?? "")) : undefined;
  if (record) {
    if (!found.length) select();
    showCase(record);
    show("case");
  } else if (view === "cases" || view === "case") {
    filters = Object.fromEntries(new URLSearchParams(query ?? ""));
    limit = PAGE;
    fillFilters();
    showList();
    show("cases");
  } else show(["pictures", "run"].includes(view) ? view : "summary");
}

/** Another view begins at its top, for the eye as for the keyboard. */
function moveTo() {
  route();
  if (location.hash === "#main") return;
  scrollTo(0, 0);
  document.querySelector("main > section:not([hidden]) h1").focus({ preventScroll: true });
}

document.addEventListener("keydown", (event) => {
  const typing = event.target instanceof Element && event.target.matches("input, select, textarea");
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const inCase = !document.getElementById("view-case").hidden;
  if (event.key === "Escape" && inCase) location.hash = listLink();
  else if (event.key === "Escape" && typing) event.target.blur();
  if (typing) return;
  if (event.key === "/") {
    event.preventDefault();
    if (document.getElementById("view-cases").hidden) location.hash = listLink();
    setTimeout(() => document.querySelector("#filters [name=q]").focus());
  } else if (event.key === "j" || event.key === "k") {
    const offset = event.key === "j" ? 1 : -1;
    if (inCase) document.querySelector(`#view-case a[rel=${offset > 0 ? "next" : "prev"}]`)?.click();
    else moveInList(offset);
  }
});

function moveInList(offset) {
  const links = [...document.querySelectorAll("#list tbody a")];
  const place = links.indexOf(document.activeElement);
  links[place < 0 ? 0 : Math.max(0, Math.min(links.length - 1, place + offset))]?.focus();
}

document.getElementById("more").addEventListener("click", () => {
  limit = Infinity;
  showList();
});
addEventListener("hashchange", moveTo);
buildFilters();
route();
