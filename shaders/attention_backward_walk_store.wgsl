// attention_backward_walk_store: copies the state of a walk to the columns of its head, for lavapipe:
//
//   dqkv[t, COL + h*HS + i] = state[h,i,t]
//
// out: dqkv (N,3C)      in: state (heads, HS/4, ROWS) quads
// dispatch: x: ceil(T / 64) groups, y: heads from HEAD on.  COL % 4 == 0.
//
// uses: store

const HS: u32 = 64u; // spec: channels a head
const HS4: u32 = HS / 4u;

struct Params { T: u32, C: u32, NH: u32, ROWS: u32, HEAD: u32, COL: u32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> dqkv: array<Quad>;
@group(0) @binding(2) var<storage, read> state: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(global_invocation_id) gid: vec3<u32>) {
    let t = gid.x;
    if t >= p.T { return; }
    let head = p.HEAD + wid.y;
    let to = ((head / p.NH * p.T + t) * 3u * p.C + p.COL) / 4u + head % p.NH * HS4;
    for (var c = 0u; c < HS4; c++) {
        dqkv[to + c] = pack4(state[(wid.y * HS4 + c) * p.ROWS + t]);
    }
}
