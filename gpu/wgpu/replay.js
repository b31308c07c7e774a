// Encodes a compute pass. words has five numbers for each of n dispatches: the places in handles of its pipeline and of
// its bind group, and its workgroups in x, y and z.
globalThis.gpt2wgpuReplay = (encoder, handles, words, n) => {
  const pass = encoder.beginComputePass();
  let last = -1;
  for (let i = 0; i < 5 * n; i += 5) {
    if (words[i] !== last) {
      last = words[i];
      pass.setPipeline(handles[last]);
    }
    pass.setBindGroup(0, handles[words[i + 1]]);
    pass.dispatchWorkgroups(words[i + 2], words[i + 3], words[i + 4]);
  }
  pass.end();
};
