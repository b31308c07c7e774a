// epilogue_bias: out = acc + bias.
@group(0) @binding(3) var<storage, read_write> out: array<Quad>;
@group(0) @binding(4) var<storage, read> bias: array<vec4<f32>>; // (OC)

fn epilogue(at: u32, col: u32, acc: vec4<f32>) {
    out[at] = pack4(acc + bias[col]);
}
