// attention_forward_tiled: causal self-attention in flash form, for GPUs. For one batch row and head:
//
//   s[t,u] = sum_i q[t,i] * k[u,i] / sqrt(HS)    u <= t
//   lse[t] = log(sum_u exp(s[t,u]))
//   out[t,i] = sum_u exp(s[t,u] - lse[t]) * v[u,i]
//
// out: out (N,C)  lse (B,NH,T)      in: qkv (N,3C), rows of a query, a key and a value, C channels each, head after
// head
// dispatch: x: ceil(T / ROWS) groups, y: B*NH.  HS = C/NH, a multiple of 4; WX a power of 2; TQ 2 or 4; BK a multiple
// of 4, at most WX/4.
//
// A team of four neighbouring threads shares TQ queries: each holds a quarter of their channels (every fourth quad, so
// that the four read 64 neighbouring bytes) and sums its quarter of the scores of four keys. A quad of a key or value
// that is read from workgroup memory serves 4*TQ multiply-adds, with 2*TQ*HS/4 sums and queries in registers. The
// quarters meet in workgroup memory, and each thread finishes the scores of one query: its maximum m and its sum l run
// along as in attention_forward_direct. What was summed is scaled only where a maximum of the team grew: else the
// factor is 1. A thread counts the queries from the one that it finishes (its i-th is the team's i ^ turn): so its n-th
// neighbour li ^ n finishes its n-th query, and all first indices are constants.
//
// uses: store

const HS: u32 = 64u; // spec: channels a head
const TQ: u32 = 4u; // spec: queries of a team
const BK: u32 = 16u; // spec: keys a tile
const WX: u32 = 64u; // spec: threads
const TEAM: u32 = 4u;
const TEAMS: u32 = WX / TEAM;
const ROWS: u32 = TEAMS * TQ;
const HS4: u32 = HS / 4u;
const OWN: u32 = (HS4 + TEAM - 1u) / TEAM; // quads of a row that a thread holds
const LAST: u32 = HS4 - 1u - (OWN - 1u) * TEAM; // the team's last thread that holds OWN quads
const QUADS: u32 = TQ * OWN;
const TURNS: u32 = BK / 4u;
const OTHERS: u32 = TEAM - 1u;
const REST: u32 = TQ - 1u;

struct Params { T: u32, C: u32, NH: u32, SCALE: f32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> out: array<Quad>;
@group(0) @binding(2) var<storage, read_write> lse: array<f32>;
@group(0) @binding(3) var<storage, read> qkv: array<Quad>;

// (thread's quad, four keys, key of four, thread of the team)
var<workgroup> ks: array<array<array<array<vec4<f32>, TEAM>, 4>, TURNS>, OWN>;
var<workgroup> vs: array<array<array<array<vec4<f32>, TEAM>, 4>, TURNS>, OWN>;
var<workgroup> swap: array<array<vec4<f32>, WX>, OTHERS>; // for each neighbour
var<workgroup> weights: array<vec4<f32>, WX>; // exp(s - m) of four keys
var<workgroup> scale: array<f32, WX>;

@compute @workgroup_size(WX)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) li: u32) {
    let first = (nwg.x - 1u - wid.x) * ROWS;
    let end = min(first + ROWS, p.T); // the group's keys
    let team = li / TEAM;
    let place = li % TEAM;
    let turn = place % TQ;
    let row = first + team * TQ;
    let batch = wid.y / p.NH * p.T;
    let c4 = p.C / 4u;
    let head = wid.y % p.NH * HS4;
    let over = select(place - min(place, LAST), 0u, LAST == OTHERS); // beyond a row's end: its last quad, times zero
    let q0 = batch * 3u * c4 + head;
    var q: array<vec4<f32>, QUADS>; // (query, quad)
    for (var i = 0u; i < TQ; i++) { // unroll
        for (var c = 0u; c < OWN; c++) { // unroll
            let quad = c * TEAM + place - select(0u, over, c == OWN - 1u);
            let at = q0 + min(row + (i ^ turn), p.T - 1u) * 3u * c4 + quad;
            q[i * OWN + c] = unpack4(qkv[at]) * select(p.SCALE, 0.0, c * TEAM + place >= HS4);
        }
    }
    var o: array<vec4<f32>, QUADS>;
    var m = -1e30;
    var l = 0.0;
    let last = q0 + c4 + place + (p.T - 1u) * 3u * c4;
    var next = q0 + c4 + place + team * 3u * c4;
    for (var start = 0u; start < end; start += BK) {
        workgroupBarrier();
        if BK == TEAMS || team < BK {
            for (var c = 0u; c < OWN; c++) { // unroll
                let at = min(next, last) + c * TEAM - select(0u, over, c == OWN - 1u);
                ks[c][team / 4u][team % 4u][place] = unpack4(qkv[at]);
                vs[c][team / 4u][team % 4u][place] = unpack4(qkv[at + c4]);
            }
        }
        next += BK * 3u * c4;
        workgroupBarrier();
        for (var j = 0u; j < TURNS; j++) {
            var s = array<vec4<f32>, TQ>(); // of four keys; naga 0.19 zeroes a plain declaration once, not each turn
            for (var c = 0u; c < OWN; c++) { // unroll
                let a0 = ks[c][j][0u][place];
                let a1 = ks[c][j][1u][place];
                let a2 = ks[c][j][2u][place];
                let a3 = ks[c][j][3u][place];
                for (var i = 0u; i < TQ; i++) { // unroll
                    s[i] = fma(vec4<f32>(q[i * OWN + c].x), vec4<f32>(a0.x, a1.x, a2.x, a3.x), s[i]);
                    s[i] = fma(vec4<f32>(q[i * OWN + c].y), vec4<f32>(a0.y, a1.y, a2.y, a3.y), s[i]);
                    s[i] = fma(vec4<f32>(q[i * OWN + c].z), vec4<f32>(a0.z, a1.z, a2.z, a3.z), s[i]);
                    s[i] = fma(vec4<f32>(q[i * OWN + c].w), vec4<f32>(a0.w, a1.w, a2.w, a3.w), s[i]);
                }
            }
            for (var n = 0u; n < OTHERS; n++) { // unroll
                swap[n][li] = s[(n + 1u) % TQ];
            }
            workgroupBarrier();
            s[0u] = (s[0u] + swap[1u][li ^ 2u]) + (swap[0u][li ^ 1u] + swap[2u][li ^ 3u]);
            let u = vec4<u32>(start + j * 4u) + vec4<u32>(0u, 1u, 2u, 3u);
            let sum = select(vec4<f32>(-1e30), s[0u], u <= vec4<u32>(row + turn));
            let top = max(m, max(max(sum.x, sum.y), max(sum.z, sum.w)));
            var older = array<f32, TQ>();
            older[0u] = exp(m - top);
            m = top;
            s[0u] = exp(sum - top);
            l = fma(l, older[0u], (s[0u].x + s[0u].y) + (s[0u].z + s[0u].w));
            weights[li] = s[0u];
            scale[li] = older[0u];
            workgroupBarrier();
            var same = older[0u] == 1.0;
            for (var i = 0u; i < REST; i++) { // unroll
                s[i + 1u] = weights[li ^ (i + 1u)];
                older[i + 1u] = scale[li ^ (i + 1u)];
                same &= older[i + 1u] == 1.0;
            }
            if !same {
                for (var i = 0u; i < TQ; i++) { // unroll
                    for (var c = 0u; c < OWN; c++) { // unroll
                        o[i * OWN + c] *= older[i];
                    }
                }
            }
            for (var c = 0u; c < OWN; c++) { // unroll
                let a0 = vs[c][j][0u][place];
                let a1 = vs[c][j][1u][place];
                let a2 = vs[c][j][2u][place];
                let a3 = vs[c][j][3u][place];
                for (var i = 0u; i < TQ; i++) { // unroll
                    o[i * OWN + c] = fma(vec4<f32>(s[i].w), a3, fma(vec4<f32>(s[i].z), a2,
                        fma(vec4<f32>(s[i].y), a1, fma(vec4<f32>(s[i].x), a0, o[i * OWN + c]))));
                }
            }
        }
    }
    workgroupBarrier();
    scale[li] = 1.0 / l;
    workgroupBarrier();
    if place < TQ && row + turn < p.T { lse[wid.y * p.T + row + turn] = m + log(l); }
    for (var i = 0u; i < TQ; i++) { // unroll
        let t = row + (i ^ turn);
        if t < p.T {
            let factor = scale[li ^ i];
            for (var c = 0u; c < OWN; c++) { // unroll
                let quad = c * TEAM + place;
                if quad < HS4 { out[(batch + t) * c4 + head + quad] = pack4(o[i * OWN + c] * factor); }
            }
        }
    }
}
