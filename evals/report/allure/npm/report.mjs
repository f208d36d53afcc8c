// Writes the Allure 3 report of one run: node report.mjs SUMMARY RESULTS OUTPUT HISTORY FORM
// What `allure generate` does, with the run's own gate in place of Allure's rules, which know
// neither intervals nor the difference between a miss and a violation.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { AllureReport, resolveConfig } from "@allurereport/core";

const [summaryPath, results, output, historyPath, form] = process.argv.slice(2);
const summary = JSON.parse(readFileSync(summaryPath, "utf8"));
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
await report.readDirectory(results);
report.realtimeDispatcher.sendQualityGateResults(broken.length ? broken : held);
await report.done();

// Allure's page asks Google to count its readers, and has no option against it.
const page = join(output, "index.html");
const counter = /<script async src="https:\/\/www\.googletagmanager\.com[^]*?<\/script>\s*<script>[^]*?<\/script>/;
const quiet = readFileSync(page, "utf8").replace(counter, "");
if (quiet.includes("googletagmanager")) {
  throw new Error("the page still loads Google's counter; counter in report.mjs has to be adapted");
}
writeFileSync(page, quiet);
