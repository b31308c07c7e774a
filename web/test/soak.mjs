// The whole self-test in the tab, and a long training with flat memory: node soak.mjs DIST OUT [MINUTES]
// MINUTES: of training, 10 by default; with SELFTEST= in the environment the self-test is a part: matmul, for example.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { open, processes, rss, tally } from "./chromium.mjs";
import { serve } from "./server.mjs";

const [dist, out, minutes = "10"] = process.argv.slice(2);
const { check, note, end } = tally();
mkdirSync(out, { recursive: true });
const { server, url } = await serve(dist);
const context = await open();
const MiB = 1 << 20;
try {
  const page = await context.newPage();
  page.setDefaultTimeout(3600e3);
  await page.goto(url);
  await page.locator("#stored").waitFor();
  const part = process.env.SELFTEST;
  const tested = await page.evaluate((kernel) => globalThis.page.call("selftest", kernel ? { kernel } : {}), part);
  check(
    part ? `self-test of ${part}` : "the whole self-test",
    tested.failed === 0 && tested.passed > 0,
    `${tested.passed} passed, ${tested.failed} failed`,
  );

  await page.reload();
  await page.locator("#train:enabled").waitFor();
  await page.locator("summary", { hasText: "Settings" }).click();
  await page.getByLabel("Steps", { exact: true }).fill("100000");
  await page.locator("#train").click();
  await page.waitForFunction(() => globalThis.page.live.done >= 5);
  const session = await context.newCDPSession(page);
  await session.send("Performance.enable");
  const rows = [];
  for (const until = Date.now() + Number(minutes) * 60e3; Date.now() < until;) {
    await page.waitForTimeout(10e3);
    const { metrics } = await session.send("Performance.getMetrics");
    const value = (name) => metrics.find((m) => m.name === name).value;
    const row = {
      steps: await page.evaluate(() => globalThis.page.live.done),
      nodes: value("Nodes"),
      wasm: (await page.evaluate(() => globalThis.page.call("memory"))).wasm,
      heap: value("JSHeapUsedSize"),
    };
    for (const { type, id } of await processes(context)) row[type] = Math.max(row[type] ?? 0, rss(id));
    rows.push(row);
    if (rows.length % 6 === 0)
      note(
        Object.entries(row)
          .map(([k, v]) => `${k} ${v > MiB ? `${(v / MiB).toFixed(0)} MiB` : v}`)
          .join(", "),
      );
  }
  writeFileSync(join(out, "soak.json"), JSON.stringify(rows));
  await page.screenshot({ path: join(out, "soak.png"), fullPage: true });
  // The second quarter against the last: the first has what grows once, such as the heap of compiled kernels.
  const mean = (name, from, to) => {
    const part = rows.slice(Math.floor(rows.length * from), Math.ceil(rows.length * to)).map((r) => r[name]);
    return part.reduce((a, b) => a + b, 0) / part.length;
  };
  for (const [name, most] of [
    ["wasm", 8 * MiB],
    ["heap", 8 * MiB],
    ["GPU", 48 * MiB],
    ["renderer", 48 * MiB],
    ["browser", 48 * MiB],
    ["nodes", 500],
  ]) {
    const early = mean(name, 0.25, 0.5),
      late = mean(name, 0.75, 1);
    const text =
      name === "nodes"
        ? `${early.toFixed(0)} -> ${late.toFixed(0)}`
        : `${(early / MiB).toFixed(1)} MiB -> ${(late / MiB).toFixed(1)} MiB`;
    check(`${name} stays flat`, late - early <= most, text);
  }
  check(
    "it trains all the time",
    rows.every((r, i) => i < 6 || r.steps > rows[i - 6].steps),
    `${rows.at(-1).steps} steps`,
  );
} catch (e) {
  check("the soak runs to its end", false, e.stack);
} finally {
  await context.done().catch(() => {});
  server.close();
}
process.exitCode = end() > 0 ? 1 : 0;
