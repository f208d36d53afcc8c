// Writes the Allure 3 report of one run: node report.mjs SUMMARY RESULTS OUTPUT HISTORY FORM
// What `allure generate` does, with the run's own gate in place of Allure's rules, which know
// neither intervals nor the difference between a miss and a violation. Its input says which answers
// the page leaves out: { ids, title, note } of a run that has more than a page can hold, or null.
import { randomUUID } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { AllureReport, resolveConfig } from "@allurereport/core";
import { generateCharts, getPieChartValues } from "@allurereport/web-commons";

const [summaryPath, results, output, historyPath, form] = process.argv.slice(2);
const summary = JSON.parse(readFileSync(summaryPath, "utf8"));
const leftOut = JSON.parse(readFileSync(0, "utf8"));
const samples = JSON.parse(readFileSync(join(results, "rates-perf.json"), "utf8"));

const categories = JSON.parse(readFileSync(join(results, "categories.json"), "utf8"));

const metric = (key) => [
  key,
  {
    title: key,
    unit: "",
    better: /: (violations|errors)$/.test(key) ? "lower" : "higher",
    group: key.split(": ")[0],
  },
];

// The same case in another profile or lane: one choice at the top, and a tab of each test.
const places = Object.entries(summary.profiles).flatMap(([profile, { lanes }]) =>
  Object.keys(lanes).map((lane) => [profile, lane]),
);
const has = (labels, name, value) => labels.some((label) => label.name === name && label.value === value);
const environments = Object.fromEntries(
  places.map(([profile, lane], place) => [
    `place-${place}`,
    {
      name: `${profile}, ${lane}`.replaceAll(/[/\\]/g, "-"),
      matcher: ({ labels }) => has(labels, "parentSuite", profile) && has(labels, "subSuite", lane),
    },
  ]),
);

// Those of Allure's charts that say something of a model behind a server.
const charts = [
  { type: "currentStatus", title: "This run; failed: a miss or a violation, skipped: a known defect" },
  { type: "problemsDistribution", by: "environment", title: "Where it fails: categories by profile and lane" },
  { type: "statusDynamics", title: "The last runs" },
  { type: "statusTransitions", title: "Fixed and regressed, run by run" },
  { type: "stabilityDistribution", title: "How steady it was before, by kind of what fails now", groupBy: "label-name:kind" },
  { type: "stabilityDistribution", title: "How steady it was before, by category of cases", groupBy: "feature" },
  // A field for each case: not where there are too many to be listed.
  ...(leftOut ? [] : [{ type: "successRateDistribution", title: "Share that passed, by category and case" }]),
  { type: "durationDynamics", title: "Seconds, run by run" },
];

// Of an answer that the page does not list its result alone is read, for the figures of all and for
// the history, where it would be missing else; its attachments stay where they are.
const unlisted = { ids: new Set(leftOut?.ids), results: new Set(), attachments: new Set() };
const files = readdirSync(results).sort();
const lists = ({ sourceMetadata }) => !unlisted.results.has(sourceMetadata.metadata.originalFileName);
const attached = ({ attachments = [], steps = [] }) => [
  ...attachments.map(({ source }) => source),
  ...steps.flatMap(attached),
];
for (const name of leftOut ? files.filter((file) => file.endsWith("-result.json")) : []) {
  const result = JSON.parse(readFileSync(join(results, name), "utf8"));
  if (!unlisted.ids.has(result.historyId)) continue;
  unlisted.results.add(name);
  attached(result).forEach((source) => unlisted.attachments.add(source));
}

const config = await resolveConfig({
  name: `toolcall-evals ${summary.run.id}`,
  output,
  environments,
  historyPath,
  historyLimit: 30,
  appendHistory: summary.run.whole,
  categories: categories.map((category) => ({ ...category, groupByMessage: false })),
  performance: {
    groups: Object.fromEntries(Object.keys(summary.profiles).map((name) => [name, { title: name }])),
    metrics: Object.fromEntries(samples.map(({ key }) => metric(key))),
  },
  plugins: {
    awesome: {
      options: {
        singleFile: form === "single-file",
        reportLanguage: "en",
        groupBy: ["parentSuite", "suite", "subSuite"],
        stepTreeExpansion: "expanded",
        charts,
        ...(leftOut && { filter: lists }),
      },
    },
    agent: { enabled: false, options: {} },
  },
});

const broken = summary.gate.reasons.map((reason) => ({
  success: false,
  rule: "gate",
  message: reason,
  expected: "holds",
  actual: "broken",
  testResults: [],
}));
const held = Object.entries(summary.profiles).flatMap(([profile, { rates }]) =>
  Object.entries(rates)
    .filter(([, { threshold }]) => threshold !== null)
    .map(([rate, { value, low, high, n, threshold }]) => ({
      success: true,
      rule: `${profile}/${rate}`,
      message: `${value} [${low}, ${high}], n=${n}; threshold ${threshold}`,
      expected: threshold,
      actual: value,
      testResults: [],
    })),
);

const report = new AllureReport(config);
await report.start();
if (leftOut) {
  for (const name of files.filter((file) => !unlisted.attachments.has(file))) await report.readFile(join(results, name));
} else {
  await report.readDirectory(results);
}
report.realtimeDispatcher.sendQualityGateResults(broken.length ? broken : held);
const { store } = report;
// Made before this run is one of those in the history.
const chartsOfAll = leftOut && (await generateCharts(charts, store, report.reportName, randomUUID));
if (leftOut) await narrow();
await report.done();
delete store.allTestEnvGroups;
delete store.allHistoryDataPoints;

/** What Allure's own filter leaves in the page: other cases, and all that earlier runs had. */
async function narrow() {
  const tests = await store.allTestResults({ includeRetries: true, filter: lists });
  const cases = new Set(tests.map(({ testCase }) => testCase?.id));
  const places = new Set(tests.map(({ historyId }) => historyId));
  const groups = (await store.allTestEnvGroups()).filter(({ id }) => cases.has(id));
  const points = (await store.allHistoryDataPoints()).map((point) => ({
    ...point,
    testResults: Object.fromEntries(Object.entries(point.testResults).filter(([id]) => places.has(id))),
  }));
  store.allTestEnvGroups = async () => groups;
  store.allHistoryDataPoints = async () => points;
}

const page = join(output, "index.html");

/** Change one of the report's values, which a report of one file has in its page. */
async function change(name, edit) {
  if (form !== "single-file") {
    const path = join(output, name);
    const value = JSON.parse(readFileSync(path, "utf8"));
    writeFileSync(path, JSON.stringify(await edit(value)));
    return;
  }
  const [before, found, after] = readFileSync(page, "utf8").split(new RegExp(`(?<=d\\("${name}",")([^"]*)`), 3);
  if (after === undefined) throw new Error(`the page has no ${name}; change in report.mjs has to be adapted`);
  const value = await edit(JSON.parse(Buffer.from(found, "base64")));
  writeFileSync(page, before + Buffer.from(JSON.stringify(value)).toString("base64") + after);
}

/** Layer by kind of all that did not pass, which Allure's charts cannot be told to count. */
function blame(tests) {
  const label = (test, name) => test.labels.find((label) => label.name === name)?.value;
  const wrong = tests.filter((test) => !test.isRetry && label(test, "layer"));
  const kinds = [...new Set(wrong.map((test) => label(test, "kind")))].sort();
  const share = (layer, kind) =>
    wrong.filter((test) => label(test, "layer") === layer && label(test, "kind") === kind).length / wrong.length;
  return {
    type: "problemsDistribution",
    title: `Who is to blame: layer and kind of ${wrong.length} that did not pass, known defects among them`,
    data: [...new Set(wrong.map((test) => label(test, "layer")))].sort().map((layer) => ({
      id: layer,
      data: kinds.map((kind) => ({ x: kind.replaceAll("_", " "), y: share(layer, kind) || null })),
    })),
  };
}

if (leftOut) {
  const ids = (await store.allEnvironmentIdentities()).map(({ id }) => id);
  await change("widgets/charts.json", () => chartsOfAll);
  await change("widgets/allure_environment.json", (rows) => [{ name: "listed", values: [leftOut.note] }, ...rows]);
  for (const [folder, of] of [["", undefined], ...ids.map((id) => [`${id}/`, id])]) {
    const inside = of && new Set((await store.testResultsByEnvironmentId(of)).map(({ id }) => id));
    const counts = await store.testsStatistic(inside && (({ id }) => inside.has(id)));
    await change(`widgets/${folder}statistic.json`, () => counts);
    await change(`widgets/${folder}pie_chart.json`, () => getPieChartValues(counts));
  }
}

await change("widgets/charts.json", async ({ general, byEnv }) => {
  const first = (tests, others) => ({ blame: blame(tests), ...others });
  const parts = Object.entries(byEnv).map(async ([id, others]) =>
    [id, first(await store.testResultsByEnvironmentId(id), others)]);
  return { general: first(await store.allTestResults(), general), byEnv: Object.fromEntries(await Promise.all(parts)) };
});

// Allure's page asks Google to count its readers, and has no option against it.
const counter = /<script async src="https:\/\/www\.googletagmanager\.com[^]*?<\/script>\s*<script>[^]*?<\/script>/;
const quiet = readFileSync(page, "utf8")
  .replace(counter, "")
  .replaceAll(config.name, (name) => (leftOut ? `${name}: ${leftOut.title}` : name));
if (quiet.includes("googletagmanager")) {
  throw new Error("the page still loads Google's counter; counter in report.mjs has to be adapted");
}

// Allure's page moves to its first test by itself, past the gate and the totals: it begins at its top
// until somebody moves, or a test is named in its address.
const atItsTop = `<script>
(() => {
  if (location.hash) return;
  const back = ({ target }) => {
    if (target.matches?.("[data-tree-scroll-container]")) target.scrollTop = 0;
  };
  const moves = ["pointerdown", "keydown", "wheel", "touchstart"];
  const stop = () => document.removeEventListener("scroll", back, true);
  document.addEventListener("scroll", back, true);
  for (const move of moves) addEventListener(move, stop, { once: true, capture: true });
})();
</script>`;
writeFileSync(page, quiet.replace("</head>", `${atItsTop}</head>`));
