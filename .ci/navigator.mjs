// What a page has as navigator.gpu, for Node: Dawn on the Vulkan driver that VK_ICD_FILENAMES names.
import { create, globals } from 'webgpu';

Object.assign(globalThis, globals);
const gpu = create(['backend=vulkan']);
const navigator = globalThis.navigator ?? {};
Object.defineProperty(navigator, 'gpu', { value: gpu, configurable: true });
Object.defineProperty(globalThis, 'navigator', { value: navigator, configurable: true });
