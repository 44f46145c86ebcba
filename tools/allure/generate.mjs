// Makes Allure's report of folders of results, as `allure generate` does, with the verdict of the quality gate in it.
//   node generate.mjs [--gate] FOLDER...    settings: allurerc.mjs
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { AllureReport, filterFailedQualityGateResults, readConfig } from "@allurereport/core";

const folders = process.argv.slice(2).filter((word) => word !== "--gate");
const config = await readConfig(import.meta.dirname, "allurerc.mjs");
const report = new AllureReport(config);
await report.start();
for (const folder of folders) await report.readDirectory(folder);
const { results } = await report.validate({ trs: await report.store.allTestResults({ includeRetries: false }) });
report.realtimeDispatcher.sendQualityGateResults(results);
await report.done();

// Allure's page reports its readers to its maker; and a large one that holds its data starts before it has read them.
const page = path.join(config.output, "index.html");
let html = readFileSync(page, "utf8");
html = html.replace(/<script async src="https:[^>]*gtag[^>]*><\/script>\s*<script>[\s\S]*?<\/script>/, "");
if (html.includes("googletagmanager")) throw new Error(`${page} asks another host; look at it anew with this Allure`);
if (html.includes("window.allureReportDataReady = false;")) {
  html = html.replace("<body>", "<body>\n<script>window.allureReportDataReady = false; window.allureReportData = {};</script>");
}
writeFileSync(page, html);

const failed = filterFailedQualityGateResults(results);
const plain = (text) => text.replace(/\x1b\[\d+m/g, "");
for (const { rule, message } of failed) console.log(`quality gate: ${rule}: ${plain(message)}`);
if (!failed.length) console.log("quality gate: passed");
if (process.argv.includes("--gate")) process.exitCode = failed.length ? 1 : 0;
