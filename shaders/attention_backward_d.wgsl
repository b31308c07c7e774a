// attention_backward_d: d[t] = sum_i dout[t,i] * out[t,i], for each head: what the other attention_backward_* take.
//
// out: d (B,NH,T)      in: dout (N,C)  outs (N,C)
// dispatch: x: ceil(T / 64) groups, y: B*NH.
//
// uses: store

const HS: u32 = 64u; // spec: channels a head
const HS4: u32 = HS / 4u;

struct Params { T: u32, C: u32, NH: u32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> d: array<f32>;
@group(0) @binding(2) var<storage, read> dout: array<Quad>;
@group(0) @binding(3) var<storage, read> outs: array<Quad>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(global_invocation_id) gid: vec3<u32>) {
    let t = gid.x;
    if t >= p.T { return; }
    let row = (wid.y / p.NH * p.T + t) * (p.C / 4u) + wid.y % p.NH * HS4;
    var sum = 0.0;
    for (var c = 0u; c < HS4; c++) {
        sum += dot(unpack4(dout[row + c]), unpack4(outs[row + c]));
    }
    d[wid.y * p.T + t] = sum;
}
