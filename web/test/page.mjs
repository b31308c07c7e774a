// The page in Chromium, from opening it to a model that the command line reads: node page.mjs DIST PROGRAM OUT
// OUT gets screenshots. Ends in "N passed, N failed".
import { createHash } from "node:crypto";
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { native, open, processes, tally } from "./chromium.mjs";
import { serve } from "./server.mjs";

const [dist, program, out] = process.argv.slice(2);
const STEPS = 30; // of the run that is stopped, reloaded, killed, and held against a native run
const { check, note, end } = tally();
mkdirSync(out, { recursive: true });
const strangers = [],
  complaints = [];

const { server, url } = await serve(dist);
const context = await open();
context.on("request", (r) => {
  if (!r.url().startsWith(url) && !/^(blob|data|chrome|about):/.test(r.url())) strangers.push(r.url());
});

// opened returns a page, once it is ready for a run.
async function opened() {
  const page = await context.newPage();
  page.on("pageerror", (e) => complaints.push(String(e)));
  page.on("console", (m) => m.type() === "error" && complaints.push(m.text()));
  await page.goto(url);
  await page.locator("#stored").waitFor();
  return page;
}

const sha = (bytes) => createHash("sha256").update(bytes).digest("hex");
const call = (page, name, args) => page.evaluate(([n, a]) => globalThis.page.call(n, a), [name, args]);
const file = (page, path) =>
  page.evaluate(async (p) => {
    const blob = await globalThis.page.call("file", { path: p });
    const hash = await crypto.subtle.digest("SHA-256", await blob.arrayBuffer());
    return {
      text: p.endsWith(".safetensors") ? "" : await blob.text(),
      sha: [...new Uint8Array(hash)].map((b) => b.toString(16).padStart(2, "0")).join(""),
    };
  }, path);
const step = (page) => page.evaluate(() => globalThis.page.live.done);
const reaches = (page, n) => page.waitForFunction((k) => globalThis.page.live.done >= k, n, { timeout: 900e3 });
const phase = (page, what) => page.waitForFunction((p) => globalThis.page.state.phase === p, what, { timeout: 900e3 });
const trains = (text) =>
  text
    .trim()
    .split("\n")
    .map((l) => JSON.parse(l))
    .filter((m) => m.kind === "train");

async function pictures(page, name) {
  for (const [width, height] of [
    [390, 844],
    [820, 1180],
    [1280, 900],
  ]) {
    for (const colorScheme of ["light", "dark"]) {
      await page.setViewportSize({ width, height });
      await page.emulateMedia({ colorScheme });
      await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      if (wide > 0) check(`${name}: nothing is wider than ${width} pixels`, false, `${wide} too many`);
      await page.screenshot({ path: join(out, `${name}-${width}-${colorScheme}.png`), fullPage: true });
    }
  }
  await page.setViewportSize({ width: 1280, height: 900 });
  await page.emulateMedia({ colorScheme: "light" });
}

try {
  let page = await opened();
  note(`the page is ready: ${await page.locator("#gpu").textContent()}`);
  await pictures(page, "new");

  // A second tab.
  const second = await context.newPage();
  await second.goto(url);
  await second.locator("#notice-boot").waitFor();
  check(
    "a second tab says that the first has the runs",
    (await second.locator("#notice-boot").textContent()).includes("Another tab"),
  );
  await second.close();
  await page.bringToFront(); // a tab behind another is slow

  // A run, by the page's own buttons.
  await page.reload();
  await page.locator("#train:enabled").waitFor();
  await page.locator("summary", { hasText: "Settings" }).click();
  await page.getByLabel("Sequences a step").fill("1000000");
  await page.locator("#problem").waitFor();
  const problem = await page.locator("#problem").textContent();
  check("what no device has is refused with a hint", /batch-size/.test(problem), problem);
  await page.getByLabel("Sequences a step").fill("");
  await page.getByLabel("Steps", { exact: true }).fill(String(STEPS));
  await page.locator("#train").click();
  await reaches(page, 5);
  const run = await page.evaluate(() => globalThis.page.state.run);
  check("figures are shown", /^\d\.\d{4}$/.test(await page.locator("#figure-loss").textContent()));

  await page.locator("#pause").click();
  await page.waitForFunction(() => globalThis.page.state.paused, null, { timeout: 900e3 });
  const held = await step(page);
  await page.locator("#prompt").fill("FINCH:");
  await page.locator("#length").fill("20");
  await page.locator("#write").click();
  await page.waitForFunction(() => !document.querySelector("#write").disabled, null, { timeout: 900e3 });
  const answer = await page.locator("#answer span").textContent();
  check(
    "the prompt is answered while the run is paused",
    answer.length > 3 && (await step(page)) === held,
    JSON.stringify(answer),
  );
  await page.locator("#pause").click();
  await reaches(page, held + 1);
  check("it goes on", true);

  // Headless tabs are never hidden: the page is made to believe it, a minute ago.
  await page.evaluate(() => {
    Object.defineProperty(document, "hidden", { configurable: true, get: () => true });
    document.dispatchEvent(new Event("visibilitychange"));
    globalThis.page.hidden.since -= 60e3;
  });
  await reaches(page, held + 3);
  await page.evaluate(() => {
    delete document.hidden;
    document.dispatchEvent(new Event("visibilitychange"));
  });
  await page.locator("#notice-hidden").waitFor();
  const away = await page.locator("#notice-hidden b").textContent();
  check("it says what it did while the tab was hidden", /went on|held the run/.test(away), away);

  await page.locator("#stop").click();
  await phase(page, "ended");
  const stopped = await step(page);
  check("stop", stopped > 5 && stopped < STEPS, `after ${stopped} steps`);
  await page.reload();
  await page.locator(`#runs button:has-text("Go on")`).click();
  await reaches(page, stopped + 1);
  check("reload, then go on", true);

  // The GPU process is killed.
  await call(page, "ask", { what: "checkpoint" });
  await reaches(page, stopped + 3);
  const before = await step(page);
  const gpu = (await processes(context)).find(({ type }) => type === "GPU");
  process.kill(gpu.id, "SIGKILL");
  await page.locator("#notice-again").waitFor({ timeout: 900e3 });
  note(await page.locator("#notice-again").textContent());
  await reaches(page, before + 1);
  check("a killed GPU process is survived", true, `at step ${before}`);

  // The tab crashes.
  await call(page, "ask", { what: "checkpoint" });
  const at = await step(page);
  await reaches(page, at + 2);
  const session = await context.newCDPSession(page);
  session.send("Page.crash").catch(() => {});
  await page.waitForEvent("crash");
  await page.close();
  page = await opened();
  await page.locator("#continue").click();
  await page.locator("#live").waitFor();
  await phase(page, "training");
  await pictures(page, "training");
  await phase(page, "ended");
  check("a crashed tab's run is offered and ends", (await step(page)) === STEPS);
  await pictures(page, "ended");

  // The same run natively.
  const config = await file(page, `${run}/config.json`);
  writeFileSync(join(out, "config.json"), config.text);
  const alone = join(out, "native");
  native(program, [
    "train",
    "--config",
    join(out, "config.json"),
    "--out",
    alone,
    "--no-supervise",
    "--progress",
    "none",
    "-q",
  ]);
  const ours = trains((await file(page, `${run}/metrics.jsonl`)).text);
  const theirs = trains(readFileSync(join(alone, "metrics.jsonl"), "utf8"));
  for (const n of [5, STEPS]) {
    const same = ours
      .slice(0, n)
      .every((m, i) => m.loss === theirs[i].loss && m.grad_norm === theirs[i].grad_norm && m.step === i);
    check(
      `${n} losses are the native ones, to the last bit`,
      same && ours.length === STEPS && theirs.length === STEPS,
      `${ours[0].loss} … ${ours[n - 1].loss}`,
    );
  }
  const last = `checkpoints/step-${String(STEPS).padStart(6, "0")}`;
  for (const name of ["model.safetensors", "optimizer.safetensors"]) {
    const theirsSha = sha(readFileSync(join(alone, last, name)));
    check(
      `${name} has the bits of an uninterrupted native run`,
      (await file(page, `${run}/${last}/${name}`)).sha === theirsSha,
      theirsSha.slice(0, 8),
    );
  }

  // Download, the command line, and back.
  const words = { prompt: "FINCH:\n", max_tokens: 40, seed: 7 };
  const { text } = await call(page, "sample", { model: run, ...words });
  await page.locator("#download").click();
  const [download] = await Promise.all([page.waitForEvent("download"), page.locator("#dialog-yes").click()]);
  const zip = join(out, download.suggestedFilename());
  await download.saveAs(zip);
  execFileSync("unzip", ["-oq", zip, "-d", join(out, "unzipped")]);
  const dir = execFileSync("find", [join(out, "unzipped"), "-name", "model.safetensors", "-printf", "%h"], {
    encoding: "utf8",
  });
  const [line] = native(program, [
    "sample",
    "--model",
    dir,
    "--prompt",
    "FINCH:\n",
    "--max-tokens",
    "40",
    "--seed",
    "7",
    "--n",
    "1",
    "--json",
  ])
    .trim()
    .split("\n");
  const theirText = JSON.parse(line).text;
  check(
    "the command line reads the download and writes the same",
    theirText === text || theirText === words.prompt + text,
    JSON.stringify(text),
  );
  await page.locator("#load-file").setInputFiles(zip);
  const row = page.locator("#runs tr", { hasText: "loaded" });
  await row.waitFor();
  const model = await page.evaluate(
    () => globalThis.page.state.stored.find(({ out: path }) => path.startsWith("/models/")).out,
  );
  const again = await call(page, "sample", { model, ...words });
  check("the tab reads it again and writes the same", again.text === text);
  await pictures(page, "loaded");
  await row.getByRole("button", { name: "Delete" }).click();
  await page.locator("#dialog-yes").click();
  await row.waitFor({ state: "detached" });
  check("a model is deleted", true);

  // Without WebGPU.
  const without = await context.newPage();
  await without.addInitScript(() => Object.defineProperty(Navigator.prototype, "gpu", { get: () => undefined }));
  await page.close();
  await without.goto(url);
  await without.locator("#notice-gpu").waitFor();
  await without.locator("#stored").waitFor();
  const advice = await without.locator("#notice-gpu").textContent();
  check(
    "without WebGPU the page says what to do, and has the runs",
    advice.includes("chrome://flags") &&
      (await without.locator("#runs tbody tr").count()) === 1 &&
      (await without.locator("#train").isDisabled()),
  );
  await pictures(without, "without");
  await without.close();

  // Every kernel once.
  const tester = await opened();
  const tested = await call(tester, "selftest", { every: "kernel" });
  check(
    "self-test, every kernel once",
    tested.failed === 0 && tested.passed >= 60,
    `${tested.passed} passed, ${tested.failed} failed`,
  );

  await tester.close();

  // A damaged list of files: nothing is removed until the user says so.
  const damaged = await context.newPage();
  await damaged.goto(`${url}/icon.svg`); // of the same origin, without the program
  await damaged.evaluate(async () => {
    const root = await (await navigator.storage.getDirectory()).getDirectoryHandle("gpt2wgpu");
    for await (const [name, handle] of root.entries()) {
      if (!name.startsWith("log-")) continue;
      const stream = await handle.createWritable();
      await stream.write("damage");
      await stream.close();
    }
  });
  await damaged.goto(url);
  await damaged.locator("#notice-boot").waitFor();
  const said = await damaged.locator("#notice-boot").textContent();
  await pictures(damaged, "damaged");
  await damaged.getByRole("button", { name: "Delete all of it" }).click();
  await damaged.locator("#dialog-yes").click();
  await damaged.locator("#runs tbody tr", { hasText: "No runs yet" }).waitFor();
  check("damaged files are reported, and deleted only when asked", said.includes("are damaged"), said);
  await damaged.close();

  check("nothing is fetched from elsewhere", strangers.length === 0, strangers.join(" "));
  check("no error in the console", complaints.length === 0, complaints.slice(0, 3).join(" | "));
} catch (e) {
  check("the test runs to its end", false, e.stack);
  for (const [i, page] of context.pages().entries())
    await page.screenshot({ path: join(out, `failed-${i}.png`) }).catch(() => {});
  if (complaints.length) note(`console: ${complaints.slice(0, 5).join(" | ")}`);
} finally {
  await context.done().catch(() => {});
  server.close();
}
process.exitCode = end() > 0 ? 1 : 0;
