// Looks at a report as its readers do: wide and on a phone, light and dark, without scripts, and on paper.
//   node look.mjs FILE [DIR]    prints its findings as JSON; with DIR, leaves screenshots and the PDF there
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";

const [file, out] = process.argv.slice(2);
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const address = pathToFileURL(path.resolve(file)).href;
const found = { views: [], requests: [], errors: [] };

// Root has no sandbox in Chromium. It opens one local file; no name is resolved for whatever that asks for.
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--host-resolver-rules=MAP * ~NOTFOUND"],
});

async function open(options) {
  const page = await browser.newPage({ viewport: { width: 1280, height: 900 }, ...options });
  await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
  page.setDefaultTimeout(240_000);
  page.on("request", (request) => found.requests.push(request.url()));
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && found.errors.push(message.text()));
  page.on("pageerror", (error) => found.errors.push(error.message));
  await page.goto(address);
  return page;
}

const shown = (page) => page.locator("article.claim:visible").count();

for (const [colorScheme, width] of [["light", 1280], ["dark", 1280], ["light", 390], ["dark", 390]]) {
  const page = await open({ colorScheme, viewport: { width, height: 900 }, offline: true });
  const name = path.join(out ?? "", `${colorScheme}-${width}`);
  if (out) {
    mkdirSync(out, { recursive: true });
    await page.screenshot({ path: `${name}.png` });
    for (const part of await page.locator("main h2").all()) {
      await part.evaluate((element) => element.scrollIntoView());
      await page.screenshot({ path: `${name}-${await part.getAttribute("id")}.png` });
    }
  }
  const view = await page.evaluate(async () => {
    [...document.querySelectorAll("details")].slice(0, 20).forEach((one) => { one.open = true; });
    const pictures = [...document.images];
    pictures.forEach((picture) => { picture.loading = "eager"; });
    await Promise.all(pictures.map((picture) => picture.decode().catch(() => undefined)));
    return {
      overflow: document.documentElement.scrollWidth - innerWidth,
      ground: getComputedStyle(document.body).backgroundColor,
      navigation: [...document.querySelectorAll("nav a")].map((one) => one.getBoundingClientRect().top)
        .filter((top, place, all) => all.indexOf(top) === place).length,
      pictures: pictures.length,
      unseen: pictures.filter((picture) => picture.naturalWidth === 0).map((picture) => picture.alt),
    };
  });
  // The page lets no script in but its own; axe goes in past that, as a debugger does.
  const session = await page.context().newCDPSession(page);
  await session.send("Runtime.evaluate", { expression: axe });
  const { result } = await session.send("Runtime.evaluate", {
    expression: `axe.run(document, {resultTypes: ["violations"]}).then((told) => JSON.stringify(told.violations.map(
      ({id, impact, nodes}) => ({id, impact, times: nodes.length, at: nodes[0].html.slice(0, 300)}))))`,
    awaitPromise: true,
  });
  found.views.push({ scheme: colorScheme, width, ...view, violations: JSON.parse(result.value) });
  await page.close();
}

const plain = await open({ javaScriptEnabled: false });
found.without_scripts = await shown(plain);
await plain.close();

// The filter: each verdict alone, and what it says of that.
const page = await open({});
found.filter = {};
const boxes = await page.locator("#filter input[type=checkbox]").all();
for (const box of boxes) {
  for (const other of boxes) await other.setChecked((await other.inputValue()) === (await box.inputValue()));
  found.filter[await box.inputValue()] = [await shown(page), await page.locator("#filter output").textContent()];
}
for (const box of boxes) await box.check();
await page.locator("#filter input[type=search]").fill("no claim has these words");
found.filter.search = [await shown(page), await page.locator("#filter output").textContent()];
await page.locator("#filter input[type=search]").fill("");

// Every block of commands has a button that copies it.
found.commands = [await page.locator("pre.commands").count(), await page.locator("pre.commands + button.copy").count()];
const button = page.locator("pre.commands + button.copy:visible").first();
if (await button.count()) {
  const commands = button.locator("xpath=preceding-sibling::pre");
  await button.focus();
  await page.keyboard.press("Enter");
  await page.waitForFunction((one) => one.textContent !== "Copy", await button.elementHandle());
  found.copied = [await button.textContent(), (await commands.textContent()) === await page.evaluate(
    () => navigator.clipboard.readText().catch(() => String(getSelection())))];
}

// On paper what is not well has the end of its evidence; all of it is in the files.
const evidence = page.locator(".on-paper pre.excerpt");
await page.emulateMedia({ media: "print" });
const visible = await evidence.evaluateAll((all) => all.filter((one) => one.checkVisibility()).length);
await page.emulateMedia({ media: null });
const pdf = await page.pdf({ preferCSSPageSize: true, tagged: true, outline: true });
const pages = pdf.toString("latin1").match(/\/Type\s*\/Page\b(?!s)/g)?.length ?? 0;
found.paper = { bytes: pdf.length, pages, evidence: await evidence.count(), visible };
if (out) writeFileSync(path.join(out, "report.pdf"), pdf);
found.browser = browser.version();
await browser.close();
console.log(JSON.stringify(found, null, 1));
