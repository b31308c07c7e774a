// Takes the README's picture, docs/web.png, and prints how soon a new user sees what: node picture.mjs DIST FILE
// [STEPS]
import { open } from "./chromium.mjs";
import { serve } from "./server.mjs";

const [dist, path, steps = "300"] = process.argv.slice(2);
const { server, url } = await serve(dist);
const context = await open({ viewport: { width: 1100, height: 800 } });
try {
  const page = await context.newPage();
  page.setDefaultTimeout(3600e3);
  const began = Date.now();
  const note = (text) => console.log(`${((Date.now() - began) / 1e3).toFixed(0)} s after opening the page: ${text}`);
  await page.goto(url);
  await page.locator("#train:enabled").click();
  await page.waitForFunction(() => globalThis.page.live.done >= 1);
  note("the first step");
  await page.waitForFunction(() => globalThis.page.live.text !== "");
  note(`the first letters, after ${await page.evaluate(() => globalThis.page.live.done)} steps`);
  await page.waitForFunction(() => globalThis.page.live.texts.length > 0);
  note(`a text: ${JSON.stringify(await page.locator("#sample").textContent())}`);
  await page.waitForFunction((n) => globalThis.page.live.done >= n, Number(steps));
  note(`${steps} steps`);
  const texts = await page.evaluate(() => globalThis.page.live.texts.at(-1)?.step);
  await page.locator("#sample-now").click();
  await page.waitForFunction((step) => globalThis.page.live.texts.at(-1).step !== step, texts);
  await page.evaluate(() => {
    globalThis.scrollTo(0, 0);
    document.querySelector("#notice-gpu button").click();
  });
  const { y, height } = await page.locator("#ask").boundingBox();
  await page.screenshot({ path, clip: { x: 0, y: 0, width: 1100, height: y + height + 16 }, fullPage: true });
} finally {
  await context.done();
  server.close();
}
