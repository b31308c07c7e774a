// What to do where WebGPU is missing, or has too little memory.

function system() {
  const { userAgent: agent } = navigator;
  const os = /Android/.test(agent)
    ? "Android"
    : /iPhone|iPad/.test(agent)
      ? "iOS"
      : /Mac OS X/.test(agent)
        ? "macOS"
        : /Windows/.test(agent)
          ? "Windows"
          : /CrOS/.test(agent)
            ? "ChromeOS"
            : "Linux";
  const browser = /Firefox\//.test(agent) ? "Firefox" : /Chrome\/|CriOS\//.test(agent) ? "Chrome" : "Safari";
  return { os: os === "macOS" && navigator.maxTouchPoints > 1 ? "iOS" : os, browser };
}

const flags = "chrome://flags (edge://flags in Edge)";
const enable = `open ${flags}, enable “Unsafe WebGPU Support” and “Vulkan”, and start the browser again.`;

// noWebGPU returns what to do in a browser without navigator.gpu: lines of text.
export function noWebGPU({ os, browser } = system()) {
  if (!globalThis.isSecureContext) {
    return [
      "Browsers offer WebGPU only to pages from https:// and from http://localhost.",
      "Open this page from such an address. On the machine that serves it, http://localhost with the port will do.",
    ];
  }
  if (browser === "Safari" || os === "iOS") {
    return [
      "Safari has WebGPU from version 26 on, with macOS 26, iOS 26 and iPadOS 26.",
      os === "iOS"
        ? "Every browser on this system is Safari inside: update the system."
        : "Update Safari, or open this page in Chrome or Edge.",
    ];
  }
  if (browser === "Firefox") {
    return [
      {
        Windows: "Firefox has WebGPU on Windows from version 141 on: update it.",
        macOS: "Firefox has WebGPU on Macs with Apple silicon and macOS 26 from version 145 on: update it.",
      }[os] ?? `Firefox has no WebGPU on ${os} unless dom.webgpu.enabled is true in about:config, if it is there.`,
      "Or open this page in Chrome or Edge.",
    ];
  }
  return [
    {
      Linux: `On Linux, ${enable}`,
      Android: "Chrome has WebGPU from version 121 on, with Android 12 and a GPU by Qualcomm or ARM: update it.",
    }[os] ?? "Chrome and Edge have WebGPU from version 113 on: update the browser.",
    `If the browser is new enough, look in ${flags} whether WebGPU is disabled.`,
  ];
}

// noAdapter returns what to do in a browser that has WebGPU and no GPU for it.
export function noAdapter({ os, browser } = system()) {
  if (browser !== "Chrome")
    return ["Update the system's graphics driver and the browser, and look whether hardware acceleration is on."];
  return [
    "Look in the browser's settings, under System, whether graphics acceleration is on.",
    os === "Linux"
      ? `On Linux, ${enable}`
      : "Update the graphics driver. chrome://gpu says why the browser doesn't use the GPU.",
    "Without any GPU: start the browser with --enable-unsafe-webgpu --use-webgpu-adapter=swiftshader. " +
      "That is slow, and enough for the smallest model.",
  ];
}

// tooLarge reports whether an error says that memory is missing or a limit is too low.
export const tooLarge = (message) => /out of memory|memory|allocat|exceeds|more than .*(MiB|GiB)|limit/i.test(message);

// memoryAdvice is what helps where an allocation failed.
export const memoryAdvice = [
  "Choose a smaller model. Or, under Settings: fewer sequences a step, fewer tokens a sequence, the number type " +
    "bf16, or activations computed again.",
  "Close other tabs and programs that use the GPU, whose memory all of them share.",
];
