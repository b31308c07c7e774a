// epilogue_muon_step: out = 3.4445 base + acc, Muon's next X of base = X, acc = (b A + c A A) X.
@group(0) @binding(3) var<storage, read_write> out: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> base: array<vec4<f32>>;

fn epilogue(at: u32, col: u32, acc: vec4<f32>) {
    out[at] = fma(vec4<f32>(3.4445), base[at], acc);
}
