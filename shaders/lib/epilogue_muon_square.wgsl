// epilogue_muon_square: out = -4.7750 base + 2.0315 acc, Muon's polynomial b A + c A A of base = A, acc = A A.
@group(0) @binding(3) var<storage, read_write> out: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> base: array<vec4<f32>>;

fn epilogue(at: u32, col: u32, acc: vec4<f32>) {
    out[at] = fma(vec4<f32>(2.0315), acc, -4.7750 * base[at]);
}
