// Compiles every .wgsl of a folder with Tint, the compiler of Chromium's WebGPU, through npm's webgpu (Dawn) on its null
// backend. Prints each error and warning and "N passed, N failed".
//   node texts.mjs DIR
import { readdirSync, readFileSync } from 'node:fs';
import { create, globals } from 'webgpu';

Object.assign(globalThis, globals);
const dir = process.argv[2];
const gpu = create(['backend=null']); // must outlive what it made
const adapter = await gpu.requestAdapter();
const device = await adapter.requestDevice();
let passed = 0, failed = 0;
for (const name of readdirSync(dir).filter(name => name.endsWith('.wgsl'))) {
  device.pushErrorScope('validation');
  const code = readFileSync(`${dir}/${name}`, 'utf8');
  const { messages } = await device.createShaderModule({ code }).getCompilationInfo();
  const error = await device.popErrorScope();
  const lines = messages.map(m => `${m.lineNum}:${m.linePos}: ${m.type}: ${m.message}`);
  if (error && lines.length === 0) lines.push(error.message);
  for (const line of lines) console.log(`${name}: ${line}`);
  if (lines.length === 0) passed++; else failed++;
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed > 0 || passed === 0 ? 1 : 0);
