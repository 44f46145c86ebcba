// Allure's report of one or more runs of the suites; tools/allure/generate calls it.
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { defineConfig } from "allure";

// Allure's quality gate is written for Node 22; what it lacks on Node 20 is this.
const iterators = Object.getPrototypeOf(Object.getPrototypeOf([][Symbol.iterator]()));
iterators.toArray ??= function toArray() {
  return [...this];
};

const here = path.dirname(fileURLToPath(import.meta.url));
const reports = process.env.SWARMLAB_REPORTS ?? path.resolve(here, "../../reports");
const results = (process.env.SWARMLAB_RESULTS ?? path.join(reports, "allure-results")).split(path.delimiter);

// One environment for each engine that the results name, so that runs on several engines stand beside each other.
const engines = new Set();
for (const folder of results) {
  for (const file of readdirSync(folder).filter((name) => name.endsWith("-result.json"))) {
    const { labels = [] } = JSON.parse(readFileSync(path.join(folder, file), "utf8"));
    labels.filter(({ name }) => name === "engine").forEach(({ value }) => engines.add(value));
  }
}
const environments = Object.fromEntries([...engines].sort().map((engine) => [
  `engine-${engine.replace(/[^A-Za-z0-9]+/g, "-")}`,
  {
    name: `engine ${engine}`,
    matcher: ({ labels }) => labels.some(({ name, value }) => name === "engine" && value === engine),
  },
]));

export default defineConfig({
  name: "Docker Swarm conformance",
  output: path.join(reports, "allure"),
  // Not below allure-results, which every run removes. What a test's history is holds engine and lab, as parameters.
  historyPath: process.env.SWARMLAB_HISTORY ?? path.join(reports, "history.jsonl"),
  historyLimit: 60,
  appendHistory: !process.argv.includes("quality-gate"), // which looks at the same run once more
  resolutions: { knownIssuesPath: path.join(here, "known-issues.json"), rules: [] },
  environments,
  categories: [
    { name: "fail: the cluster does not conform", matchers: { statuses: ["failed"] } },
    {
      name: "timeout: not judged in time",
      matchers: { statuses: ["broken"], message: /^swarmlab\.errors\.DeadlineExceeded/ },
    },
    { name: "broken: the lab failed", matchers: { statuses: ["broken"] } },
    { name: "waived: accepted by its owner", matchers: { statuses: ["skipped"], message: /waived: / } },
    { name: "blocked: the lab lacks a need", matchers: { statuses: ["skipped"], message: /blocked: / } },
  ],
  qualityGate: {
    rules: [{ id: "nothing is fail, broken or timeout", maxFailures: 0, minTestsCount: 1, fastFail: false }],
  },
  plugins: {
    awesome: {
      options: { reportName: "Docker Swarm conformance", groupBy: ["epic", "feature", "story"], singleFile: false },
    },
  },
});
