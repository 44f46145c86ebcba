// Allure's report of one or more runs of the suites; tools/allure/generate calls it.
import { readdirSync, readFileSync, statSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

// Allure's quality gate is written for Node 22; what it lacks on Node 20 is this.
const iterators = Object.getPrototypeOf(Object.getPrototypeOf([][Symbol.iterator]()));
iterators.toArray ??= function toArray() {
  return [...this];
};

const here = path.dirname(fileURLToPath(import.meta.url));
const reports = process.env.SWARMLAB_REPORTS ?? path.resolve(here, "../../reports");
const results = (process.env.SWARMLAB_RESULTS ?? path.join(reports, "latest/allure-results")).split(path.delimiter);

// One environment for each engine that the results name, so that runs on several engines stand beside each other.
const engines = new Set();
const clusters = new Set();
const days = new Set();
for (const folder of results) {
  let first = Infinity;
  for (const file of readdirSync(folder).filter((name) => name.endsWith("-result.json"))) {
    const { labels = [], start } = JSON.parse(readFileSync(path.join(folder, file), "utf8"));
    labels.filter(({ name }) => name === "engine").forEach(({ value }) => engines.add(value));
    labels.filter(({ name }) => name === "cluster").forEach(({ value }) => clusters.add(value));
    first = Math.min(first, start ?? Infinity);
  }
  if (first < Infinity) days.add(new Date(first).toISOString().slice(0, 10));
}

// The title names cluster, engine and date, as far as the results tell them; of many the first few.
const few = (names) => {
  const all = [...names].sort();
  return all.length > 3 ? `${all.slice(0, 3).join(", ")} and ${all.length - 3} more` : all.join(", ");
};
const about = [few(clusters), engines.size ? `engine ${few(engines)}` : "", few(days)].filter(Boolean).join(", ");
const title = about ? `Docker Swarm conformance: ${about}` : "Docker Swarm conformance";
const environments = Object.fromEntries([...engines].sort().map((engine) => [
  `engine-${engine.replace(/[^A-Za-z0-9]+/g, "-")}`,
  {
    name: `engine ${engine}`,
    matcher: ({ labels }) => labels.some(({ name, value }) => name === "engine" && value === engine),
  },
]));

// Failures that a tracker knows: links and rules as Allure has them ("resolutions" of its settings).
const known = JSON.parse(readFileSync(path.join(here, "known-issues.json"), "utf8"));

// One page that opens from a disk, if a browser can be asked to read it; else a folder to be served.
const bytes = results.flatMap((folder) => readdirSync(folder).map((name) => statSync(path.join(folder, name)).size));
const singleFile = bytes.reduce((sum, one) => sum + one, 0) < 150_000_000;

export default {
  name: title,
  output: path.join(reports, "allure"),
  // Beside the runs, not in the folder of one. What a test's history is holds engine and lab, as parameters.
  historyPath: process.env.SWARMLAB_HISTORY ?? path.join(reports, "history.jsonl"),
  historyLimit: 60,
  resolutions: {
    knownIssuesPath: path.join(reports, "known-issues.json"), // Allure's own list of what it found of them
    links: known.links,
    rules: [...known.rules, { resolution: "accepted", messageRegexp: "^waived by ", comment: "by the file of waivers" }],
  },
  environments,
  categories: [
    { name: "waived: accepted by its owner", matchers: { statuses: ["failed"], message: /^waived by / } },
    { name: "fail: the cluster does not conform", matchers: { statuses: ["failed"] } },
    {
      name: "timeout: not judged in time",
      matchers: { statuses: ["broken"], message: /^swarmlab\.errors\.DeadlineExceeded/ },
    },
    { name: "broken: the lab failed", matchers: { statuses: ["broken"] } },
    { name: "blocked: the lab lacks a need", matchers: { statuses: ["skipped"], message: /blocked: / } },
  ],
  qualityGate: {
    rules: [{ id: "nothing is fail, broken or timeout", maxFailures: 0, minTestsCount: 1, fastFail: false }],
  },
  plugins: {
    awesome: {
      options: { reportName: title, groupBy: ["epic", "feature"], singleFile },
    },
  },
};
