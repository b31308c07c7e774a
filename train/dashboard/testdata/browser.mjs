// Does with the dashboard what a person does, in headless Chromium: node browser.mjs URL PICTURES SECONDS. TestBrowser
// runs it. PLAYWRIGHT is a directory with playwright-core in its node_modules. Prints a line for each check.
import { createRequire } from "node:module";

const { chromium } = createRequire(process.env.PLAYWRIGHT)("playwright-core");
const [url, pictures, seconds] = process.argv.slice(2);
let failed = 0;

function check(what, holds, found = "") {
  console.log(`${holds ? "ok" : "FAILED"}: ${what}${found === "" ? "" : ` (${found})`}`);
  if (!holds) failed++;
}

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM,
  headless: true,
  args: ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
});
const wrong = [];
const elsewhere = new Set();

async function open(hash = "", options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(180000); // of a machine that has much else to do
  page.on("console", (m) => m.type() === "error" && !m.text().includes("ERR_") && wrong.push(m.text()));
  page.on("pageerror", (e) => wrong.push(e.stack));
  page.on("request", (r) => new URL(r.url()).origin !== new URL(url).origin && elsewhere.add(r.url()));
  await page.goto(url + hash);
  await page.waitForSelector("#layout:not([hidden])");
  return page;
}

const text = (page, selector) => page.locator(selector).first().textContent();
// The steps that a page has of a run, as its list and its summary for screen readers say them.
const points = (page) => page.evaluate(() => [...document.querySelectorAll(".chart > p.sr")][0].textContent);

// One run, by mouse and by keyboard.
{
  const page = await open();
  await page.waitForFunction(() => /from .* at step/.test(document.querySelector(".chart > p.sr")?.textContent));
  check("a chart has a summary", /training: [\d,]+ points, from .* the lowest/.test(await points(page)), await points(page));
  check("the pill says that the page is live", (await text(page, "#live")) === "live");
  const plot = page.locator(".chart-plot").first();
  const box = await plot.boundingBox();
  await page.mouse.move(box.x + box.width / 2, box.y + 80);
  await page.waitForSelector(".chart-read:not([hidden])");
  check("the cursor reads out", /step .*training/.test(await text(page, ".chart-read:not([hidden])")));
  const before = await page.evaluate(() => document.body.scrollHeight);
  await page.mouse.move(box.x + box.width - 30, box.y + 80);
  await page.mouse.move(5, 5);
  check("a read-out moves nothing else", before === (await page.evaluate(() => document.body.scrollHeight)));
  await plot.focus();
  for (let i = 0; i < 3; i++) await page.keyboard.press("ArrowLeft");
  await page.waitForFunction(() => /^step .*training/.test(document.querySelector(".chart > p[aria-live]").textContent));
  check("the keyboard's cursor is spoken", true, await text(page, ".chart > p[aria-live]"));
  await page.keyboard.press("+");
  await page.keyboard.press("Escape");
  await page.mouse.move(box.x + 200, box.y + 80);
  await page.mouse.down();
  await page.mouse.move(box.x + 500, box.y + 90, { steps: 5 });
  await page.mouse.up();
  await page.mouse.dblclick(box.x + 300, box.y + 80);

  // The list by keyboard: choose a second run, then compare.
  const second = page.locator(".run input").nth(1);
  await second.focus();
  await page.keyboard.press("Space");
  await page.waitForSelector("#compare:not([hidden]) table");
  await page.waitForFunction(() => ["Loss at equal tokens", "Settings that differ"].every((words) =>
    document.querySelector("#compare").textContent.includes(words)));
  check("two runs are compared", true);
  check("the address keeps the choice", /runs=\w+,\w+/.test(page.url()), page.url().split("#")[1]);
  await page.locator('input[name="x"][value="step"]').focus();
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("ArrowRight");
  await page.waitForFunction(() => document.querySelector("#compare").textContent.includes("equal time"));
  check("time is an axis", page.url().includes("x=time"));
  await page.locator('input[name="unit"][value="bits"]').focus();
  await page.keyboard.press("Space");
  await page.waitForFunction(() => document.querySelector(".chart-unit").textContent.startsWith("bits per byte"));
  for (const tab of ["kernels", "memory", "settings", "events", "samples"]) {
    await page.locator(`input[name="tab"][value="${tab}"]`).check({ force: true });
    await page.waitForFunction((t) => location.hash.includes(`tab=${t}`) || t === "samples", tab);
    await page.waitForTimeout(100);
    check(`the tab ${tab} has something to show`, (await text(page, "#panel")).length > 20);
  }
  const nameless = await page.evaluate(() => [...document.querySelectorAll("button, input, select, a, [tabindex='0']")]
    .filter((e) => !(e.getAttribute("aria-label") || e.textContent.trim() || e.labels?.[0]?.textContent.trim()))
    .map((e) => e.outerHTML));
  check("every control has a name", nameless.length === 0, nameless.join(" "));
  await page.reload();
  await page.waitForSelector("#compare:not([hidden])");
  check("a reload shows the same", (await page.locator(".run input:checked").count()) === 2);

  // The server goes and comes back.
  console.log("STOP");
  await page.waitForFunction(() => document.querySelector("#live").textContent.startsWith("not connected"));
  console.log("START");
  await page.waitForFunction(() => document.querySelector("#live").textContent === "live");
  check("the page connects again by itself", true);
  await page.context().close();
}

const ids = await (async () => {
  const page = await open();
  const all = await page.evaluate(() => new Promise((done) => {
    const source = new EventSource("events");
    source.addEventListener("runs", (e) => {
      source.close();
      done(JSON.parse(e.data).rows.map((r) => r.id));
    });
  }));
  await page.context().close();
  return all;
})();
const three = `#runs=${ids.slice(0, 3)}&focus=${ids[0]}`;

// Pictures: no width has a horizontal scroll bar.
for (const width of [390, 820, 1280]) {
  for (const scheme of ["light", "dark"]) {
    const page = await open(`${three}&tab=kernels`, {
      viewport: { width, height: width === 390 ? 844 : 1000 }, colorScheme: scheme, hasTouch: width === 390,
    });
    await page.waitForFunction(() => document.querySelector("#compare h3") && document.querySelector("#panel canvas"));
    await page.waitForTimeout(500);
    const wide = await page.evaluate(() => document.documentElement.scrollWidth);
    check(`${width} pixels, ${scheme}: nothing is cut off`, wide <= width, `${wide} wide`);
    await page.screenshot({ path: `${pictures}/${width}-${scheme}.png`, fullPage: true });
    await page.context().close();
  }
}

// Ten runs that grow, with a moving cursor.
{
  const page = await open(`#runs=${ids.slice(0, 10)}&focus=${ids[0]}`);
  await page.waitForFunction(() => (document.querySelector(".chart > p.sr")?.textContent.match(/points/g) ?? []).length >= 10);
  const session = await page.context().newCDPSession(page);
  await session.send("Performance.enable");
  const heap = async () => {
    await session.send("HeapProfiler.collectGarbage");
    const { metrics } = await session.send("Performance.getMetrics");
    const of = (name) => metrics.find((m) => m.name === name).value;
    return { heap: of("JSHeapUsedSize") / 1e6, nodes: of("Nodes"), busy: of("TaskDuration"), listeners: of("JSEventListeners") };
  };
  await page.waitForTimeout(3000);
  const first = await heap();
  await page.evaluate(() => {
    window.gaps = [];
    let last = performance.now();
    const next = (now) => {
      window.gaps.push(now - last);
      last = now;
      requestAnimationFrame(next);
    };
    requestAnimationFrame(next);
  });
  const box = await page.locator(".chart-plot").first().boundingBox();
  const until = Date.now() + 1000 * seconds;
  for (let i = 0; Date.now() < until; i++) {
    await page.mouse.move(box.x + 60 + ((i * 7) % (box.width - 80)), box.y + 100);
    await page.waitForTimeout(50);
  }
  const gaps = (await page.evaluate(() => window.gaps)).sort((a, b) => a - b);
  await page.evaluate(() => (window.gaps = []));
  const last = await heap();
  const at = (part) => gaps[Math.floor(part * (gaps.length - 1))].toFixed(0);
  console.log(`frames of ${seconds} s: median ${at(0.5)} ms, 95% within ${at(0.95)} ms, longest ${at(1)} ms`);
  console.log(`page: ${first.heap.toFixed(1)} MB and ${first.nodes} nodes, then ${last.heap.toFixed(1)} MB and ` +
    `${last.nodes} nodes; busy ${(((last.busy - first.busy) / seconds) * 100).toFixed(0)}% of the time`);
  check("the page's memory is flat", last.heap < first.heap + 8 && last.nodes < 1.2 * first.nodes + 500);
  check("no listeners pile up", last.listeners <= first.listeners + 5, `${first.listeners}, ${last.listeners}`);
  await page.context().close();
}

check("nothing went wrong in the page", wrong.length === 0, wrong.join("\n"));
check("nothing was asked for elsewhere", elsewhere.size === 0, [...elsewhere].join(" "));
await browser.close();
process.exit(failed ? 1 : 0);
