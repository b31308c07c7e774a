// matmul_tiled: a product of matrices through workgroup memory, finished by an epilogue (bias, GELU, residual, …).
//
//   epilogue(r, c, sum_k a[r,k] * b[k,c])
//
// in: a (ROWS,SUMS)  b (SUMS,COLS), as they are or transposed: see the fragments tile_a_* and tile_b_*
// out, declared by the epilogue: rows of STRIDE, columns [COL, COL+COLS); where the sums are split (z > 1), part z
// has rows [z*ROWS, (z+1)*ROWS), as have several products of matrices that lie one after another along the sums
// dispatch: x: ceil(COLS / BN) groups, y: ceil(ROWS / BM), BM = WY*TM, BN = WX*TN4*4, z: ceil(SUMS / PART).
// COL % 4 == 0, STRIDE % 4 == 0, PART % 4 == 0.
//
// For GPUs: a group keeps BM x BN sums in registers and walks the addends in steps of BK, whose tiles of a and b lie in
// workgroup memory in quads of neighbouring rows or columns: a thread reads TM/4 + TN4 quads for 4*TM*TN4
// multiply-adds. A thread's quads of columns are WX apart, so that neighbours read and store neighbours. Columns are
// stored in quads, so STRIDE leaves room for COLS rounded up to 4.
//
// A tile is (4, BK/4, quads), its addends k by k % 4 first. Threads load blocks of four addends by four rows, so the
// first index of a store is a constant, and of a read the first two are: naga checks each index that is not, in the
// innermost loop, which on AMD's RDNA 2 cost 8x8 sums 16% of all instructions and 4x4 sums 27%. Blocks are numbered
// through both tiles, so that a thread has registers only for its own; 8x4 sums in float32 spill on Intel otherwise.
// Addresses are computed before the loop, and the next step's blocks are loaded while this step's are multiplied.
//
// uses: store tile_a tile_b epilogue addends

const TM: u32 = 4u; // spec: rows a thread, a multiple of 4
const TN4: u32 = 1u; // spec: quads of columns a thread
const WX: u32 = 16u; // spec: threads along columns
const WY: u32 = 16u; // spec: threads along rows
const BK: u32 = 16u; // spec: depth of a tile, a multiple of 4
const PAD: u32 = 2u; // spec: quads more than needed from a row of a tile to the next: stores meet other banks
const TM4: u32 = TM / 4u;
const SUMS: u32 = TM * TN4;
const THREADS: u32 = WX * WY;
const BM4: u32 = WY * TM4;
const BN4: u32 = WX * TN4;
const BK4: u32 = BK / 4u;
const FOUR: u32 = 4u;
const AS: u32 = BM4 + PAD;
const BS: u32 = BN4 + PAD;
const ABLOCKS: u32 = BM4 * BK4;
const BBLOCKS: u32 = BN4 * BK4;
const BLOCKS: u32 = ABLOCKS + BBLOCKS;
const TURNS: u32 = (BLOCKS + THREADS - 1u) / THREADS; // blocks a thread

struct Params { ROWS: u32, COLS: u32, SUMS: u32, ASTRIDE: u32, ACOL: u32, STRIDE: u32, COL: u32, PART: u32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<Quad>;
@group(0) @binding(2) var<storage, read> b: array<Quad>;

var<workgroup> ta: array<array<array<vec4<f32>, AS>, BK4>, 4>;
var<workgroup> tb: array<array<array<vec4<f32>, BS>, BK4>, 4>;

@compute @workgroup_size(WX, WY)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_id) lid: vec3<u32>,
    @builtin(local_invocation_index) li: u32) {
    let row4 = wid.y * BM4;
    let col4 = wid.x * BN4;
    let first = wid.z * (p.PART / 4u);
    let stop = min(wid.z * p.PART + p.PART, p.SUMS); // addends
    var place: array<vec2<u32>, TURNS>; // a thread's blocks: their places in a tile, in quads of rows and of addends
    var start: array<vec4<u32>, TURNS>; // where they begin in memory
    var block: array<Block, TURNS>; // what they hold in the next step
    for (var i = 0u; i < TURNS; i++) { // unroll
        if li + i * THREADS < ABLOCKS {
            place[i] = a_place(li + i * THREADS);
            start[i] = a_start(row4 + place[i].x, place[i].y);
            block[i] = a_load(start[i], place[i].y, first);
        } else if li + i * THREADS < BLOCKS {
            place[i] = b_place(li + i * THREADS - ABLOCKS);
            start[i] = b_start(col4 + place[i].x, place[i].y);
            block[i] = b_load(start[i], place[i].y, first);
        }
    }
    var acc: array<vec4<f32>, SUMS>;
    for (var q0 = first; q0 * 4u < stop; q0 += BK4) {
        for (var i = 0u; i < TURNS; i++) { // unroll
            if li + i * THREADS < ABLOCKS {
                let m = a_addends(block[i], q0 + place[i].y, stop);
                ta[0u][place[i].y][place[i].x] = m.k0;
                ta[1u][place[i].y][place[i].x] = m.k1;
                ta[2u][place[i].y][place[i].x] = m.k2;
                ta[3u][place[i].y][place[i].x] = m.k3;
            } else if li + i * THREADS < BLOCKS {
                let n = b_addends(block[i]);
                tb[0u][place[i].y][place[i].x] = n.k0;
                tb[1u][place[i].y][place[i].x] = n.k1;
                tb[2u][place[i].y][place[i].x] = n.k2;
                tb[3u][place[i].y][place[i].x] = n.k3;
            }
        }
        workgroupBarrier();
        for (var i = 0u; i < TURNS; i++) { // unroll
            if li + i * THREADS < ABLOCKS {
                block[i] = a_load(start[i], place[i].y, q0 + BK4);
            } else if li + i * THREADS < BLOCKS {
                block[i] = b_load(start[i], place[i].y, q0 + BK4);
            }
        }
        for (var k = 0u; k < BK4; k++) { // unroll
            for (var c = 0u; c < FOUR; c++) { // unroll
                var n: array<vec4<f32>, TN4>;
                for (var j = 0u; j < TN4; j++) { // unroll
                    n[j] = tb[c][k][lid.x + j * WX];
                }
                for (var i = 0u; i < TM4; i++) { // unroll
                    let m = ta[c][k][lid.y * TM4 + i];
                    for (var j = 0u; j < TN4; j++) { // unroll
                        acc[i * 4u * TN4 + j] = fma(vec4<f32>(m.x), n[j], acc[i * 4u * TN4 + j]);
                        acc[(i * 4u + 1u) * TN4 + j] = fma(vec4<f32>(m.y), n[j], acc[(i * 4u + 1u) * TN4 + j]);
                        acc[(i * 4u + 2u) * TN4 + j] = fma(vec4<f32>(m.z), n[j], acc[(i * 4u + 2u) * TN4 + j]);
                        acc[(i * 4u + 3u) * TN4 + j] = fma(vec4<f32>(m.w), n[j], acc[(i * 4u + 3u) * TN4 + j]);
                    }
                }
            }
        }
        workgroupBarrier(); // before the next step's tiles
    }
    let row = row4 * 4u + lid.y * TM;
    for (var i = 0u; i < TM; i++) { // unroll
        if row + i < p.ROWS {
            for (var j = 0u; j < TN4; j++) { // unroll
                let quad = col4 + lid.x + j * WX;
                if quad * 4u < p.COLS {
                    epilogue(((wid.z * p.ROWS + row + i) * p.STRIDE + p.COL) / 4u + quad, quad, acc[i * TN4 + j]);
                }
            }
        }
    }
}
