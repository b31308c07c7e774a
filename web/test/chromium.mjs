// Chromium with WebGPU on its own SwiftShader, and what tests ask of it.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

const flags = [
  "--no-sandbox",
  "--disable-gpu-sandbox",
  "--enable-unsafe-webgpu",
  "--use-webgpu-adapter=swiftshader",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

// open starts the browser that CHROMIUM names, /usr/bin/chromium by default, with a profile of its own.
export async function open(options = {}) {
  const profile = mkdtempSync(join(tmpdir(), "gpt2wgpu-web-"));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
    channel: "chromium",
    headless: true,
    args: flags,
    viewport: { width: 1280, height: 900 },
    acceptDownloads: true,
    ...options,
  });
  context.setDefaultTimeout(300e3);
  context.done = async () => {
    await context.close();
    rmSync(profile, { recursive: true, force: true });
  };
  return context;
}

// processes returns the browser's: [{type, id}], type browser, renderer, GPU or utility.
export async function processes(context) {
  const session = await context.browser().newBrowserCDPSession();
  const { processInfo } = await session.send("SystemInfo.getProcessInfo");
  await session.detach();
  return processInfo;
}

// rss returns the bytes of memory that a process holds; 0: it is gone.
export function rss(pid) {
  try {
    return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))[1]) * 1024;
  } catch {
    return 0;
  }
}

// native runs the program of the command line on the same SwiftShader, and returns its standard output.
export function native(program, args) {
  const icd = process.env.SWIFTSHADER || "/usr/lib/chromium/vk_swiftshader_icd.json";
  const { status, stdout, stderr } = spawnSync(program, args, {
    encoding: "utf8",
    maxBuffer: 1 << 28,
    env: { ...process.env, VK_ICD_FILENAMES: icd, VK_DRIVER_FILES: icd },
  });
  if (status !== 0) throw new Error(`${program} ${args.join(" ")}: status ${status}\n${stderr.slice(-2000)}`);
  return stdout;
}

// tally counts checks.
export function tally() {
  const began = Date.now();
  let passed = 0,
    failed = 0;
  const at = () => `${((Date.now() - began) / 1e3).toFixed(0).padStart(4)} s`;
  return {
    note: (text) => console.log(`${at()}       ${text}`),
    check(name, ok, detail = "") {
      if (ok) passed++;
      else failed++;
      console.log(`${at()}  ${ok ? "ok  " : "FAIL"} ${name}${detail !== "" ? `: ${detail}` : ""}`);
    },
    end() {
      console.log(`${passed} passed, ${failed} failed`);
      return failed;
    },
  };
}
