// epilogue_add: out += acc; gradients of parameters and of the residual stream accumulate in float32.
@group(0) @binding(3) var<storage, read_write> out: array<vec4<f32>>;

fn epilogue(at: u32, col: u32, acc: vec4<f32>) {
    out[at] = out[at] + acc;
}
