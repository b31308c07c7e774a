// Takes the README's picture, docs/web.png: node picture.mjs DIST FILE [STEPS]
import { open } from "./chromium.mjs";
import { serve } from "./server.mjs";

const [dist, path, steps = "300"] = process.argv.slice(2);
const { server, url } = await serve(dist);
const context = await open({ viewport: { width: 1100, height: 800 } });
try {
  const page = await context.newPage();
  page.setDefaultTimeout(3600e3);
  await page.goto(url);
  await page.locator("#train:enabled").click();
  await page.waitForFunction((n) => globalThis.page.live.done >= n, Number(steps));
  const texts = await page.evaluate(() => globalThis.page.live.texts.at(-1)?.step);
  await page.locator("#sample-now").click();
  await page.waitForFunction((step) => globalThis.page.live.texts.at(-1).step !== step, texts);
  await page.evaluate(() => {
    globalThis.scrollTo(0, 0);
    document.querySelector("#notice-gpu button").click();
  });
  const { height } = await page.locator("#ask").boundingBox();
  const { y } = await page.locator("#ask").boundingBox();
  await page.screenshot({ path, clip: { x: 0, y: 0, width: 1100, height: y + height + 16 }, fullPage: true });
} finally {
  await context.done();
  server.close();
}
