// epilogue_bias_gelu: pre = acc + bias, out = gelu(pre) of pre as stored; the backward needs pre, and may compute out
// from it.
//
// uses: gelu
@group(0) @binding(3) var<storage, read_write> out: array<Quad>;
@group(0) @binding(4) var<storage, read_write> pre: array<Quad>;
@group(0) @binding(5) var<storage, read> bias: array<vec4<f32>>; // (OC)

fn epilogue(at: u32, col: u32, acc: vec4<f32>) {
    let v = pack4(acc + bias[col]);
    pre[at] = v;
    out[at] = pack4(gelu(unpack4(v)));
}
