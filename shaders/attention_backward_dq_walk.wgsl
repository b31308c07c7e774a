// attention_backward_dq_walk: a part of the queries' gradient, for lavapipe: what KT keys add for all queries that see
// them. With p[t,u] = exp(s[t,u] - lse[t]), u in [KEY, KEY+KT):
//
//   dq[t] += sum_u p[t,u] * (sum_i dout[t,i] * v[u,i] - d[t]) * k[u] / sqrt(HS)
//
// scratch: state (heads, HS/4, ROWS) quads, dq, zeros before the first dispatch
// in: qkv (N,3C)  dout (N,C)  lse, d (B,NH,T)
// dispatch: x: blocks of WX queries from BLOCK on, of which the first holds KEY, y: heads from HEAD on.
// ROWS % WX == 0, ROWS >= T.
//
// As attention_forward_walk. attention_backward_walk_store copies the state to dqkv.
//
// uses: store walk_sums walk_gradients walk_keys

const HS: u32 = 64u; // spec: channels a head
const WX: u32 = 128u; // spec: threads, a query each
const KT: u32 = 32u; // spec: keys per dispatch
const HS4: u32 = HS / 4u;
const QUADS: u32 = KT * HS4;

@group(0) @binding(1) var<storage, read_write> state: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> qkv: array<Quad>;
@group(0) @binding(3) var<storage, read> dout: array<Quad>;
@group(0) @binding(4) var<storage, read> lse: array<f32>;
@group(0) @binding(5) var<storage, read> d: array<f32>;

@compute @workgroup_size(WX)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_id) lid: vec3<u32>) {
    let head = p.HEAD + wid.y;
    let c4 = p.C / 4u;
    let q0 = head / p.NH * p.T * 3u * c4 + head % p.NH * HS4;
    stage(q0, lid.x);
    let t = (p.BLOCK + wid.x) * WX + lid.x;
    let last = min(t, p.T - 1u);
    let row = q0 + last * 3u * c4;
    let grow = (head / p.NH * p.T + last) * c4 + head % p.NH * HS4;
    var s: array<f32, KT>;
    for (var c = 0u; c < HS4; c++) { // unroll
        add_scores(c, unpack4(qkv[row + c]), &s);
    }
    let l = lse[head * p.T + last];
    for (var k = 0u; k < KT; k++) { // unroll
        s[k] = select(0.0, exp(min(s[k] - l, 0.0)), p.KEY + k <= t);
    }
    var dp: array<f32, KT>;
    for (var c = 0u; c < HS4; c++) { // unroll
        add_dp(c, unpack4(dout[grow + c]), &dp);
    }
    let sum = d[head * p.T + last];
    for (var k = 0u; k < KT; k++) { // unroll
        s[k] = s[k] * (dp[k] - sum);
    }
    for (var c = 0u; c < HS4; c++) { // unroll
        let at = (wid.y * HS4 + c) * p.ROWS + t;
        state[at] = add_keys(c, &s, state[at]);
    }
}
