// attention_forward_walk_finish: what attention_forward_walk has summed, divided; for lavapipe.
//
//   out[t,i] = acc[t,i] / l[t],  lse[t] = m[t] + log(l[t])
//
// out: out (N,C)  lse (B,NH,T)      in: state (heads, HS/4, ROWS) quads  ml (heads, ROWS) of m and l
// dispatch: x: ceil(T / 64) groups, y: heads from HEAD on.
//
// uses: store

const HS: u32 = 64u; // spec: channels a head
const HS4: u32 = HS / 4u;

struct Params { T: u32, C: u32, NH: u32, ROWS: u32, HEAD: u32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> out: array<Quad>;
@group(0) @binding(2) var<storage, read_write> lse: array<f32>;
@group(0) @binding(3) var<storage, read_write> state: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> ml: array<vec2<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(global_invocation_id) gid: vec3<u32>) {
    let t = gid.x;
    if t >= p.T { return; }
    let head = p.HEAD + wid.y;
    let to = (head / p.NH * p.T + t) * (p.C / 4u) + head % p.NH * HS4;
    let sum = ml[wid.y * p.ROWS + t];
    for (var c = 0u; c < HS4; c++) {
        out[to + c] = pack4(state[(wid.y * HS4 + c) * p.ROWS + t] / sum.y);
    }
    lse[head * p.T + t] = sum.x + log(sum.y);
}
