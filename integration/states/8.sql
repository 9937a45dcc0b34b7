--
-- PostgreSQL database dump
--


-- Dumped from database version 15.18 (Debian 15.18-0+deb12u1)
-- Dumped by pg_dump version 15.18 (Debian 15.18-0+deb12u1)

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

--
-- Name: lakeferry; Type: SCHEMA; Schema: -; Owner: postgres
--

CREATE SCHEMA lakeferry;



--
-- Name: SCHEMA lakeferry; Type: COMMENT; Schema: -; Owner: postgres
--

COMMENT ON SCHEMA lakeferry IS 'What Lakeferry knows of the tables it keeps in step; read it as you like.';


SET default_tablespace = '';

SET default_table_access_method = heap;

--
-- Name: fill_pieces; Type: TABLE; Schema: lakeferry; Owner: postgres
--

CREATE TABLE lakeferry.fill_pieces (
    job_id uuid NOT NULL,
    piece bigint NOT NULL,
    rows bigint NOT NULL,
    loaded_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    nulled bigint DEFAULT 0 NOT NULL,
    replaced bigint DEFAULT 0 NOT NULL
);



--
-- Name: TABLE fill_pieces; Type: COMMENT; Schema: lakeferry; Owner: postgres
--

COMMENT ON TABLE lakeferry.fill_pieces IS 'The pieces of unfinished fills that are loaded, each written in the transaction of its rows.';


--
-- Name: COLUMN fill_pieces.nulled; Type: COMMENT; Schema: lakeferry; Owner: postgres
--

COMMENT ON COLUMN lakeferry.fill_pieces.nulled IS 'Values that were written as NULL, for the target cannot hold them.';


--
-- Name: COLUMN fill_pieces.replaced; Type: COMMENT; Schema: lakeferry; Owner: postgres
--

COMMENT ON COLUMN lakeferry.fill_pieces.replaced IS 'Values for which the nearest were written that the target can hold.';


--
-- Name: fills; Type: TABLE; Schema: lakeferry; Owner: postgres
--

CREATE TABLE lakeferry.fills (
    job_id uuid NOT NULL,
    table_id text NOT NULL,
    version bigint NOT NULL,
    digest bytea,
    instant timestamp with time zone NOT NULL,
    key text[] NOT NULL,
    fingerprint text NOT NULL,
    pieces bigint NOT NULL,
    pieces_digest bytea NOT NULL,
    reserved_oid oid NOT NULL,
    started_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    columns text,
    CONSTRAINT fills_digest_check CHECK ((octet_length(digest) = 32)),
    CONSTRAINT fills_pieces_digest_check CHECK ((octet_length(pieces_digest) = 32))
);



--
-- Name: TABLE fills; Type: COMMENT; Schema: lakeferry; Owner: postgres
--

COMMENT ON TABLE lakeferry.fills IS 'First fills that were begun and have not ended, with what they were planned for; the columns are those of progress.';


--
-- Name: COLUMN fills.pieces; Type: COMMENT; Schema: lakeferry; Owner: postgres
--

COMMENT ON COLUMN lakeferry.fills.pieces IS 'Into how many pieces the source is cut.';


--
-- Name: COLUMN fills.pieces_digest; Type: COMMENT; Schema: lakeferry; Owner: postgres
--

COMMENT ON COLUMN lakeferry.fills.pieces_digest IS 'SHA-256 of the ordered list of pieces.';


--
-- Name: COLUMN fills.reserved_oid; Type: COMMENT; Schema: lakeferry; Owner: postgres
--

COMMENT ON COLUMN lakeferry.fills.reserved_oid IS 'The table that the rows are loaded into; it gets the target''s name once it is whole.';


--
-- Name: COLUMN fills.columns; Type: COMMENT; Schema: lakeferry; Owner: postgres
--

COMMENT ON COLUMN lakeferry.fills.columns IS 'As in progress.';


--
-- Name: jobs; Type: TABLE; Schema: lakeferry; Owner: postgres
--

CREATE TABLE lakeferry.jobs (
    job_id uuid DEFAULT gen_random_uuid() NOT NULL,
    deployment text NOT NULL,
    name text NOT NULL,
    target_schema text NOT NULL,
    target_table text NOT NULL,
    target_oid oid,
    created_at timestamp with time zone DEFAULT now() NOT NULL
);



--
-- Name: TABLE jobs; Type: COMMENT; Schema: lakeferry; Owner: postgres
--

COMMENT ON TABLE lakeferry.jobs IS 'Every job that ever claimed a table of this database.';


--
-- Name: COLUMN jobs.target_oid; Type: COMMENT; Schema: lakeferry; Owner: postgres
--

COMMENT ON COLUMN lakeferry.jobs.target_oid IS 'The table that the job filled; another one of the same name is not touched.';


--
-- Name: leases; Type: TABLE; Schema: lakeferry; Owner: postgres
--

CREATE TABLE lakeferry.leases (
    job_id uuid NOT NULL,
    holder text NOT NULL,
    epoch bigint NOT NULL,
    backend_pid integer NOT NULL,
    backend_start timestamp with time zone NOT NULL,
    claimed_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    expires_at timestamp with time zone
);



--
-- Name: TABLE leases; Type: COMMENT; Schema: lakeferry; Owner: postgres
--

COMMENT ON TABLE lakeferry.leases IS 'Who writes a job''s target now; valid as long as that backend lives and the lease is renewed.';


--
-- Name: COLUMN leases.expires_at; Type: COMMENT; Schema: lakeferry; Owner: postgres
--

COMMENT ON COLUMN lakeferry.leases.expires_at IS 'Its holder renews it while it works; after this moment another one may end that backend and take the lease. NULL: never.';


--
-- Name: migrations; Type: TABLE; Schema: lakeferry; Owner: postgres
--

CREATE TABLE lakeferry.migrations (
    number integer NOT NULL,
    name text NOT NULL,
    lakeferry text NOT NULL,
    applied_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);



--
-- Name: TABLE migrations; Type: COMMENT; Schema: lakeferry; Owner: postgres
--

COMMENT ON TABLE lakeferry.migrations IS 'The form of this schema, and which build gave it.';


--
-- Name: pauses; Type: TABLE; Schema: lakeferry; Owner: postgres
--

CREATE TABLE lakeferry.pauses (
    deployment text DEFAULT 'default'::text NOT NULL,
    job text NOT NULL,
    paused_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    paused_by text DEFAULT SESSION_USER NOT NULL,
    reason text
);



--
-- Name: TABLE pauses; Type: COMMENT; Schema: lakeferry; Owner: postgres
--

COMMENT ON TABLE lakeferry.pauses IS 'Jobs that are not to run. INSERT INTO pauses (job, reason) pauses one of the deployment default; DELETE lets it run again.';


--
-- Name: progress; Type: TABLE; Schema: lakeferry; Owner: postgres
--

CREATE TABLE lakeferry.progress (
    job_id uuid NOT NULL,
    epoch bigint DEFAULT 0 NOT NULL,
    table_id text,
    version bigint,
    digest bytea,
    instant timestamp with time zone,
    key text[],
    fingerprint text,
    updated_at timestamp with time zone,
    columns text,
    CONSTRAINT progress_check CHECK ((num_nulls(table_id, version, instant, key, fingerprint, updated_at) = ANY (ARRAY[0, 6]))),
    CONSTRAINT progress_digest_check CHECK ((octet_length(digest) = 32))
);



--
-- Name: TABLE progress; Type: COMMENT; Schema: lakeferry; Owner: postgres
--

COMMENT ON TABLE lakeferry.progress IS 'What each target has: the watermark, moved in the transaction that moves the rows. Before the first one all but the epoch is NULL.';


--
-- Name: COLUMN progress.epoch; Type: COMMENT; Schema: lakeferry; Owner: postgres
--

COMMENT ON COLUMN lakeferry.progress.epoch IS 'The number of the newest claim; a write under an older one changes nothing.';


--
-- Name: COLUMN progress.table_id; Type: COMMENT; Schema: lakeferry; Owner: postgres
--

COMMENT ON COLUMN lakeferry.progress.table_id IS 'The identity of the source table.';


--
-- Name: COLUMN progress.version; Type: COMMENT; Schema: lakeferry; Owner: postgres
--

COMMENT ON COLUMN lakeferry.progress.version IS 'The commit version of the source that the target has.';


--
-- Name: COLUMN progress.digest; Type: COMMENT; Schema: lakeferry; Owner: postgres
--

COMMENT ON COLUMN lakeferry.progress.digest IS 'SHA-256 of the file that committed the version; NULL if it was cleaned away.';


--
-- Name: COLUMN progress.instant; Type: COMMENT; Schema: lakeferry; Owner: postgres
--

COMMENT ON COLUMN lakeferry.progress.instant IS 'The moment at which time in the filter was evaluated.';


--
-- Name: COLUMN progress.key; Type: COMMENT; Schema: lakeferry; Owner: postgres
--

COMMENT ON COLUMN lakeferry.progress.key IS 'The key columns at the last apply.';


--
-- Name: COLUMN progress.fingerprint; Type: COMMENT; Schema: lakeferry; Owner: postgres
--

COMMENT ON COLUMN lakeferry.progress.fingerprint IS 'Digest of filter, columns, types, time zone and encoding at the last apply.';


--
-- Name: COLUMN progress.columns; Type: COMMENT; Schema: lakeferry; Owner: postgres
--

COMMENT ON COLUMN lakeferry.progress.columns IS 'What the target was made from at the last apply, as JSON: of each column its name, its identity and type in the source, and whether it is synced, left out or detached; and the greatest number that the source gave to one.';


--
-- Name: quarantine; Type: TABLE; Schema: lakeferry; Owner: postgres
--

CREATE TABLE lakeferry.quarantine (
    job_id uuid NOT NULL,
    digest bytea NOT NULL,
    key json NOT NULL,
    rows bigint NOT NULL,
    column_name text NOT NULL,
    reason text NOT NULL,
    payload json,
    version bigint NOT NULL,
    found_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    dropped_at timestamp with time zone,
    has_previous boolean DEFAULT false NOT NULL,
    CONSTRAINT quarantine_digest_check CHECK ((octet_length(digest) = 32))
);



--
-- Name: TABLE quarantine; Type: COMMENT; Schema: lakeferry; Owner: postgres
--

COMMENT ON TABLE lakeferry.quarantine IS 'Rows of the source that the target cannot hold; it has no row of their keys, unless it keeps the previous one.';


--
-- Name: COLUMN quarantine.digest; Type: COMMENT; Schema: lakeferry; Owner: postgres
--

COMMENT ON COLUMN lakeferry.quarantine.digest IS 'SHA-256 of the key as it stands in its column.';


--
-- Name: COLUMN quarantine.key; Type: COMMENT; Schema: lakeferry; Owner: postgres
--

COMMENT ON COLUMN lakeferry.quarantine.key IS 'The values of the key columns, in the order of the key; of a job without a key the whole row; null where they are longer than a megabyte.';


--
-- Name: COLUMN quarantine.rows; Type: COMMENT; Schema: lakeferry; Owner: postgres
--

COMMENT ON COLUMN lakeferry.quarantine.rows IS 'How often the row is there: more than once only without a key.';


--
-- Name: COLUMN quarantine.payload; Type: COMMENT; Schema: lakeferry; Owner: postgres
--

COMMENT ON COLUMN lakeferry.quarantine.payload IS 'The row; absent where it is longer than a megabyte, or was dropped.';


--
-- Name: COLUMN quarantine.version; Type: COMMENT; Schema: lakeferry; Owner: postgres
--

COMMENT ON COLUMN lakeferry.quarantine.version IS 'The version of the source that brought it.';


--
-- Name: COLUMN quarantine.dropped_at; Type: COMMENT; Schema: lakeferry; Owner: postgres
--

COMMENT ON COLUMN lakeferry.quarantine.dropped_at IS 'When somebody gave it up: it counts no more.';


--
-- Name: COLUMN quarantine.has_previous; Type: COMMENT; Schema: lakeferry; Owner: postgres
--

COMMENT ON COLUMN lakeferry.quarantine.has_previous IS 'Whether the target keeps the row that the key had before.';


--
-- Name: requests; Type: TABLE; Schema: lakeferry; Owner: postgres
--

CREATE TABLE lakeferry.requests (
    request_id bigint NOT NULL,
    deployment text DEFAULT 'default'::text NOT NULL,
    job text NOT NULL,
    kind text DEFAULT 'sync'::text NOT NULL,
    accept_deletes boolean DEFAULT false NOT NULL,
    even_if_paused boolean DEFAULT false NOT NULL,
    requested_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    requested_by text DEFAULT SESSION_USER NOT NULL,
    taken_at timestamp with time zone,
    taken_by text,
    ended_at timestamp with time zone,
    error text,
    version bigint,
    inserted bigint,
    updated bigint,
    deleted bigint,
    CONSTRAINT requests_kind_check CHECK ((kind = ANY (ARRAY['sync'::text, 'backfill'::text, 'adopt'::text, 'refresh_schema'::text, 'retry'::text, 'reset'::text, 'forget'::text])))
);



--
-- Name: TABLE requests; Type: COMMENT; Schema: lakeferry; Owner: postgres
--

COMMENT ON TABLE lakeferry.requests IS 'What daemons are asked to do besides their schedules. INSERT INTO requests (job) asks for a sync; whoever runs the job looks here after each run, and as often as control_poll says.';


--
-- Name: COLUMN requests.kind; Type: COMMENT; Schema: lakeferry; Owner: postgres
--

COMMENT ON COLUMN lakeferry.requests.kind IS 'sync, backfill, adopt, refresh_schema, retry (of the quarantine), reset, or forget (a reset that also forgets what the target has).';


--
-- Name: COLUMN requests.accept_deletes; Type: COMMENT; Schema: lakeferry; Owner: postgres
--

COMMENT ON COLUMN lakeferry.requests.accept_deletes IS 'Lets the run delete as much as the source lost.';


--
-- Name: COLUMN requests.taken_by; Type: COMMENT; Schema: lakeferry; Owner: postgres
--

COMMENT ON COLUMN lakeferry.requests.taken_by IS 'Who does it. Where that one went away, another one takes it.';


--
-- Name: COLUMN requests.error; Type: COMMENT; Schema: lakeferry; Owner: postgres
--

COMMENT ON COLUMN lakeferry.requests.error IS 'Why it was not done; NULL if it was.';


--
-- Name: COLUMN requests.version; Type: COMMENT; Schema: lakeferry; Owner: postgres
--

COMMENT ON COLUMN lakeferry.requests.version IS 'The version that the target had then.';


--
-- Name: requests_request_id_seq; Type: SEQUENCE; Schema: lakeferry; Owner: postgres
--

ALTER TABLE lakeferry.requests ALTER COLUMN request_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME lakeferry.requests_request_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: runs; Type: TABLE; Schema: lakeferry; Owner: postgres
--

CREATE TABLE lakeferry.runs (
    run_id bigint NOT NULL,
    job_id uuid NOT NULL,
    epoch bigint NOT NULL,
    kind text NOT NULL,
    from_version bigint,
    through_version bigint NOT NULL,
    inserted bigint NOT NULL,
    updated bigint NOT NULL,
    deleted bigint NOT NULL,
    started_at timestamp with time zone NOT NULL,
    finished_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    quarantined bigint DEFAULT 0 NOT NULL,
    released bigint DEFAULT 0 NOT NULL,
    nulled bigint DEFAULT 0 NOT NULL,
    replaced bigint DEFAULT 0 NOT NULL
);



--
-- Name: TABLE runs; Type: COMMENT; Schema: lakeferry; Owner: postgres
--

COMMENT ON TABLE lakeferry.runs IS 'One row for each apply of staged rows (fill, refresh, changes or adopt), and for each alteration of a target (alter).';


--
-- Name: COLUMN runs.from_version; Type: COMMENT; Schema: lakeferry; Owner: postgres
--

COMMENT ON COLUMN lakeferry.runs.from_version IS 'The commit version that the target had before; NULL at the first.';


--
-- Name: COLUMN runs.quarantined; Type: COMMENT; Schema: lakeferry; Owner: postgres
--

COMMENT ON COLUMN lakeferry.runs.quarantined IS 'Rows that came into quarantine.';


--
-- Name: COLUMN runs.released; Type: COMMENT; Schema: lakeferry; Owner: postgres
--

COMMENT ON COLUMN lakeferry.runs.released IS 'Rows that left it.';


--
-- Name: COLUMN runs.nulled; Type: COMMENT; Schema: lakeferry; Owner: postgres
--

COMMENT ON COLUMN lakeferry.runs.nulled IS 'Values that were written as NULL, for the target cannot hold them.';


--
-- Name: COLUMN runs.replaced; Type: COMMENT; Schema: lakeferry; Owner: postgres
--

COMMENT ON COLUMN lakeferry.runs.replaced IS 'Values for which the nearest were written that the target can hold.';


--
-- Name: runs_run_id_seq; Type: SEQUENCE; Schema: lakeferry; Owner: postgres
--

ALTER TABLE lakeferry.runs ALTER COLUMN run_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME lakeferry.runs_run_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: words; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.words (
    id bigint NOT NULL,
    word text
);



--
-- Data for Name: fill_pieces; Type: TABLE DATA; Schema: lakeferry; Owner: postgres
--

COPY lakeferry.fill_pieces (job_id, piece, rows, loaded_at, nulled, replaced) FROM stdin;
\.


--
-- Data for Name: fills; Type: TABLE DATA; Schema: lakeferry; Owner: postgres
--

COPY lakeferry.fills (job_id, table_id, version, digest, instant, key, fingerprint, pieces, pieces_digest, reserved_oid, started_at, columns) FROM stdin;
\.


--
-- Data for Name: jobs; Type: TABLE DATA; Schema: lakeferry; Owner: postgres
--

COPY lakeferry.jobs (job_id, deployment, name, target_schema, target_table, target_oid, created_at) FROM stdin;
87292935-0f90-4a80-a66d-393867f4fa52	default	words	public	words	16523	2026-11-24 04:09:46.516798+00
\.


--
-- Data for Name: leases; Type: TABLE DATA; Schema: lakeferry; Owner: postgres
--

COPY lakeferry.leases (job_id, holder, epoch, backend_pid, backend_start, claimed_at, expires_at) FROM stdin;
\.


--
-- Data for Name: migrations; Type: TABLE DATA; Schema: lakeferry; Owner: postgres
--

COPY lakeferry.migrations (number, name, lakeferry, applied_at) FROM stdin;
1	state	0.1.0	2026-11-24 04:09:46.490642+00
2	lease expiry	0.1.0	2026-11-24 04:09:46.491599+00
3	fills	0.1.0	2026-11-24 04:09:46.500015+00
4	quarantine	0.1.0	2026-11-24 04:09:46.502913+00
5	columns	0.1.0	2026-11-24 04:09:46.503906+00
6	replaced values	0.1.0	2026-11-24 04:09:46.504716+00
7	previous rows	0.1.0	2026-11-24 04:09:46.505341+00
8	control	0.1.0	2026-11-24 04:09:46.511751+00
\.


--
-- Data for Name: pauses; Type: TABLE DATA; Schema: lakeferry; Owner: postgres
--

COPY lakeferry.pauses (deployment, job, paused_at, paused_by, reason) FROM stdin;
\.


--
-- Data for Name: progress; Type: TABLE DATA; Schema: lakeferry; Owner: postgres
--

COPY lakeferry.progress (job_id, epoch, table_id, version, digest, instant, key, fingerprint, updated_at, columns) FROM stdin;
87292935-0f90-4a80-a66d-393867f4fa52	1	7be496e2-cb18-4059-b982-63dca0d71170	2	\\xbada8d033e39c607643637c71d789469a27a68674435b5e8cbbadc3e67e39caa	2026-11-24 04:09:46.534968+00	{id}	c2957717c19cef1e7c1b09cbb674f56a	2026-11-24 04:09:46.626755+00	{"columns":[{"name":"id","identity":"id","type":"Int64","is":"synced"},{"name":"word","identity":"word","type":"Utf8","is":"synced"}],"made":0}
\.


--
-- Data for Name: quarantine; Type: TABLE DATA; Schema: lakeferry; Owner: postgres
--

COPY lakeferry.quarantine (job_id, digest, key, rows, column_name, reason, payload, version, found_at, dropped_at, has_previous) FROM stdin;
87292935-0f90-4a80-a66d-393867f4fa52	\\xd0bca111f8628137adc4c16f123496dcdd1d590d06cb5d9acd68b39fe656fb97	[0]	1	word	a text with the character NUL, which postgres cannot hold	{"id":0,"word":"NUL: \\u0000"}	2	2026-11-24 04:09:46.605381+00	\N	f
\.


--
-- Data for Name: requests; Type: TABLE DATA; Schema: lakeferry; Owner: postgres
--

COPY lakeferry.requests (request_id, deployment, job, kind, accept_deletes, even_if_paused, requested_at, requested_by, taken_at, taken_by, ended_at, error, version, inserted, updated, deleted) FROM stdin;
\.


--
-- Data for Name: runs; Type: TABLE DATA; Schema: lakeferry; Owner: postgres
--

COPY lakeferry.runs (run_id, job_id, epoch, kind, from_version, through_version, inserted, updated, deleted, started_at, finished_at, quarantined, released, nulled, replaced) FROM stdin;
1	87292935-0f90-4a80-a66d-393867f4fa52	1	fill	\N	2	1001	0	0	2026-11-24 04:09:46.542215+00	2026-11-24 04:09:46.631617+00	1	0	0	0
\.


--
-- Data for Name: words; Type: TABLE DATA; Schema: public; Owner: postgres
--

COPY public.words (id, word) FROM stdin;
-1	\N
1	word 1
2	word 2
3	word 3
4	word 4
5	word 5
6	word 6
7	word 7
8	word 8
9	word 9
10	word 10
11	word 11
12	word 12
13	word 13
14	word 14
15	word 15
16	word 16
17	word 17
18	word 18
19	word 19
20	word 20
21	word 21
22	word 22
23	word 23
24	word 24
25	word 25
26	word 26
27	word 27
28	word 28
29	word 29
30	word 30
31	word 31
32	word 32
33	word 33
34	word 34
35	word 35
36	word 36
37	word 37
38	word 38
39	word 39
40	word 40
41	word 41
42	word 42
43	word 43
44	word 44
45	word 45
46	word 46
47	word 47
48	word 48
49	word 49
50	word 50
51	word 51
52	word 52
53	word 53
54	word 54
55	word 55
56	word 56
57	word 57
58	word 58
59	word 59
60	word 60
61	word 61
62	word 62
63	word 63
64	word 64
65	word 65
66	word 66
67	word 67
68	word 68
69	word 69
70	word 70
71	word 71
72	word 72
73	word 73
74	word 74
75	word 75
76	word 76
77	word 77
78	word 78
79	word 79
80	word 80
81	word 81
82	word 82
83	word 83
84	word 84
85	word 85
86	word 86
87	word 87
88	word 88
89	word 89
90	word 90
91	word 91
92	word 92
93	word 93
94	word 94
95	word 95
96	word 96
97	word 97
98	word 98
99	word 99
100	word 100
101	word 101
102	word 102
103	word 103
104	word 104
105	word 105
106	word 106
107	word 107
108	word 108
109	word 109
110	word 110
111	word 111
112	word 112
113	word 113
114	word 114
115	word 115
116	word 116
117	word 117
118	word 118
119	word 119
120	word 120
121	word 121
122	word 122
123	word 123
124	word 124
125	word 125
126	word 126
127	word 127
128	word 128
129	word 129
130	word 130
131	word 131
132	word 132
133	word 133
134	word 134
135	word 135
136	word 136
137	word 137
138	word 138
139	word 139
140	word 140
141	word 141
142	word 142
143	word 143
144	word 144
145	word 145
146	word 146
147	word 147
148	word 148
149	word 149
150	word 150
151	word 151
152	word 152
153	word 153
154	word 154
155	word 155
156	word 156
157	word 157
158	word 158
159	word 159
160	word 160
161	word 161
162	word 162
163	word 163
164	word 164
165	word 165
166	word 166
167	word 167
168	word 168
169	word 169
170	word 170
171	word 171
172	word 172
173	word 173
174	word 174
175	word 175
176	word 176
177	word 177
178	word 178
179	word 179
180	word 180
181	word 181
182	word 182
183	word 183
184	word 184
185	word 185
186	word 186
187	word 187
188	word 188
189	word 189
190	word 190
191	word 191
192	word 192
193	word 193
194	word 194
195	word 195
196	word 196
197	word 197
198	word 198
199	word 199
200	word 200
201	word 201
202	word 202
203	word 203
204	word 204
205	word 205
206	word 206
207	word 207
208	word 208
209	word 209
210	word 210
211	word 211
212	word 212
213	word 213
214	word 214
215	word 215
216	word 216
217	word 217
218	word 218
219	word 219
220	word 220
221	word 221
222	word 222
223	word 223
224	word 224
225	word 225
226	word 226
227	word 227
228	word 228
229	word 229
230	word 230
231	word 231
232	word 232
233	word 233
234	word 234
235	word 235
236	word 236
237	word 237
238	word 238
239	word 239
240	word 240
241	word 241
242	word 242
243	word 243
244	word 244
245	word 245
246	word 246
247	word 247
248	word 248
249	word 249
250	word 250
251	word 251
252	word 252
253	word 253
254	word 254
255	word 255
256	word 256
257	word 257
258	word 258
259	word 259
260	word 260
261	word 261
262	word 262
263	word 263
264	word 264
265	word 265
266	word 266
267	word 267
268	word 268
269	word 269
270	word 270
271	word 271
272	word 272
273	word 273
274	word 274
275	word 275
276	word 276
277	word 277
278	word 278
279	word 279
280	word 280
281	word 281
282	word 282
283	word 283
284	word 284
285	word 285
286	word 286
287	word 287
288	word 288
289	word 289
290	word 290
291	word 291
292	word 292
293	word 293
294	word 294
295	word 295
296	word 296
297	word 297
298	word 298
299	word 299
300	word 300
301	word 301
302	word 302
303	word 303
304	word 304
305	word 305
306	word 306
307	word 307
308	word 308
309	word 309
310	word 310
311	word 311
312	word 312
313	word 313
314	word 314
315	word 315
316	word 316
317	word 317
318	word 318
319	word 319
320	word 320
321	word 321
322	word 322
323	word 323
324	word 324
325	word 325
326	word 326
327	word 327
328	word 328
329	word 329
330	word 330
331	word 331
332	word 332
333	word 333
334	word 334
335	word 335
336	word 336
337	word 337
338	word 338
339	word 339
340	word 340
341	word 341
342	word 342
343	word 343
344	word 344
345	word 345
346	word 346
347	word 347
348	word 348
349	word 349
350	word 350
351	word 351
352	word 352
353	word 353
354	word 354
355	word 355
356	word 356
357	word 357
358	word 358
359	word 359
360	word 360
361	word 361
362	word 362
363	word 363
364	word 364
365	word 365
366	word 366
367	word 367
368	word 368
369	word 369
370	word 370
371	word 371
372	word 372
373	word 373
374	word 374
375	word 375
376	word 376
377	word 377
378	word 378
379	word 379
380	word 380
381	word 381
382	word 382
383	word 383
384	word 384
385	word 385
386	word 386
387	word 387
388	word 388
389	word 389
390	word 390
391	word 391
392	word 392
393	word 393
394	word 394
395	word 395
396	word 396
397	word 397
398	word 398
399	word 399
400	word 400
401	word 401
402	word 402
403	word 403
404	word 404
405	word 405
406	word 406
407	word 407
408	word 408
409	word 409
410	word 410
411	word 411
412	word 412
413	word 413
414	word 414
415	word 415
416	word 416
417	word 417
418	word 418
419	word 419
420	word 420
421	word 421
422	word 422
423	word 423
424	word 424
425	word 425
426	word 426
427	word 427
428	word 428
429	word 429
430	word 430
431	word 431
432	word 432
433	word 433
434	word 434
435	word 435
436	word 436
437	word 437
438	word 438
439	word 439
440	word 440
441	word 441
442	word 442
443	word 443
444	word 444
445	word 445
446	word 446
447	word 447
448	word 448
449	word 449
450	word 450
451	word 451
452	word 452
453	word 453
454	word 454
455	word 455
456	word 456
457	word 457
458	word 458
459	word 459
460	word 460
461	word 461
462	word 462
463	word 463
464	word 464
465	word 465
466	word 466
467	word 467
468	word 468
469	word 469
470	word 470
471	word 471
472	word 472
473	word 473
474	word 474
475	word 475
476	word 476
477	word 477
478	word 478
479	word 479
480	word 480
481	word 481
482	word 482
483	word 483
484	word 484
485	word 485
486	word 486
487	word 487
488	word 488
489	word 489
490	word 490
491	word 491
492	word 492
493	word 493
494	word 494
495	word 495
496	word 496
497	word 497
498	word 498
499	word 499
500	word 500
501	word 501
502	word 502
503	word 503
504	word 504
505	word 505
506	word 506
507	word 507
508	word 508
509	word 509
510	word 510
511	word 511
512	word 512
513	word 513
514	word 514
515	word 515
516	word 516
517	word 517
518	word 518
519	word 519
520	word 520
521	word 521
522	word 522
523	word 523
524	word 524
525	word 525
526	word 526
527	word 527
528	word 528
529	word 529
530	word 530
531	word 531
532	word 532
533	word 533
534	word 534
535	word 535
536	word 536
537	word 537
538	word 538
539	word 539
540	word 540
541	word 541
542	word 542
543	word 543
544	word 544
545	word 545
546	word 546
547	word 547
548	word 548
549	word 549
550	word 550
551	word 551
552	word 552
553	word 553
554	word 554
555	word 555
556	word 556
557	word 557
558	word 558
559	word 559
560	word 560
561	word 561
562	word 562
563	word 563
564	word 564
565	word 565
566	word 566
567	word 567
568	word 568
569	word 569
570	word 570
571	word 571
572	word 572
573	word 573
574	word 574
575	word 575
576	word 576
577	word 577
578	word 578
579	word 579
580	word 580
581	word 581
582	word 582
583	word 583
584	word 584
585	word 585
586	word 586
587	word 587
588	word 588
589	word 589
590	word 590
591	word 591
592	word 592
593	word 593
594	word 594
595	word 595
596	word 596
597	word 597
598	word 598
599	word 599
600	word 600
601	word 601
602	word 602
603	word 603
604	word 604
605	word 605
606	word 606
607	word 607
608	word 608
609	word 609
610	word 610
611	word 611
612	word 612
613	word 613
614	word 614
615	word 615
616	word 616
617	word 617
618	word 618
619	word 619
620	word 620
621	word 621
622	word 622
623	word 623
624	word 624
625	word 625
626	word 626
627	word 627
628	word 628
629	word 629
630	word 630
631	word 631
632	word 632
633	word 633
634	word 634
635	word 635
636	word 636
637	word 637
638	word 638
639	word 639
640	word 640
641	word 641
642	word 642
643	word 643
644	word 644
645	word 645
646	word 646
647	word 647
648	word 648
649	word 649
650	word 650
651	word 651
652	word 652
653	word 653
654	word 654
655	word 655
656	word 656
657	word 657
658	word 658
659	word 659
660	word 660
661	word 661
662	word 662
663	word 663
664	word 664
665	word 665
666	word 666
667	word 667
668	word 668
669	word 669
670	word 670
671	word 671
672	word 672
673	word 673
674	word 674
675	word 675
676	word 676
677	word 677
678	word 678
679	word 679
680	word 680
681	word 681
682	word 682
683	word 683
684	word 684
685	word 685
686	word 686
687	word 687
688	word 688
689	word 689
690	word 690
691	word 691
692	word 692
693	word 693
694	word 694
695	word 695
696	word 696
697	word 697
698	word 698
699	word 699
700	word 700
701	word 701
702	word 702
703	word 703
704	word 704
705	word 705
706	word 706
707	word 707
708	word 708
709	word 709
710	word 710
711	word 711
712	word 712
713	word 713
714	word 714
715	word 715
716	word 716
717	word 717
718	word 718
719	word 719
720	word 720
721	word 721
722	word 722
723	word 723
724	word 724
725	word 725
726	word 726
727	word 727
728	word 728
729	word 729
730	word 730
731	word 731
732	word 732
733	word 733
734	word 734
735	word 735
736	word 736
737	word 737
738	word 738
739	word 739
740	word 740
741	word 741
742	word 742
743	word 743
744	word 744
745	word 745
746	word 746
747	word 747
748	word 748
749	word 749
750	word 750
751	word 751
752	word 752
753	word 753
754	word 754
755	word 755
756	word 756
757	word 757
758	word 758
759	word 759
760	word 760
761	word 761
762	word 762
763	word 763
764	word 764
765	word 765
766	word 766
767	word 767
768	word 768
769	word 769
770	word 770
771	word 771
772	word 772
773	word 773
774	word 774
775	word 775
776	word 776
777	word 777
778	word 778
779	word 779
780	word 780
781	word 781
782	word 782
783	word 783
784	word 784
785	word 785
786	word 786
787	word 787
788	word 788
789	word 789
790	word 790
791	word 791
792	word 792
793	word 793
794	word 794
795	word 795
796	word 796
797	word 797
798	word 798
799	word 799
800	word 800
801	word 801
802	word 802
803	word 803
804	word 804
805	word 805
806	word 806
807	word 807
808	word 808
809	word 809
810	word 810
811	word 811
812	word 812
813	word 813
814	word 814
815	word 815
816	word 816
817	word 817
818	word 818
819	word 819
820	word 820
821	word 821
822	word 822
823	word 823
824	word 824
825	word 825
826	word 826
827	word 827
828	word 828
829	word 829
830	word 830
831	word 831
832	word 832
833	word 833
834	word 834
835	word 835
836	word 836
837	word 837
838	word 838
839	word 839
840	word 840
841	word 841
842	word 842
843	word 843
844	word 844
845	word 845
846	word 846
847	word 847
848	word 848
849	word 849
850	word 850
851	word 851
852	word 852
853	word 853
854	word 854
855	word 855
856	word 856
857	word 857
858	word 858
859	word 859
860	word 860
861	word 861
862	word 862
863	word 863
864	word 864
865	word 865
866	word 866
867	word 867
868	word 868
869	word 869
870	word 870
871	word 871
872	word 872
873	word 873
874	word 874
875	word 875
876	word 876
877	word 877
878	word 878
879	word 879
880	word 880
881	word 881
882	word 882
883	word 883
884	word 884
885	word 885
886	word 886
887	word 887
888	word 888
889	word 889
890	word 890
891	word 891
892	word 892
893	word 893
894	word 894
895	word 895
896	word 896
897	word 897
898	word 898
899	word 899
900	word 900
901	word 901
902	word 902
903	word 903
904	word 904
905	word 905
906	word 906
907	word 907
908	word 908
909	word 909
910	word 910
911	word 911
912	word 912
913	word 913
914	word 914
915	word 915
916	word 916
917	word 917
918	word 918
919	word 919
920	word 920
921	word 921
922	word 922
923	word 923
924	word 924
925	word 925
926	word 926
927	word 927
928	word 928
929	word 929
930	word 930
931	word 931
932	word 932
933	word 933
934	word 934
935	word 935
936	word 936
937	word 937
938	word 938
939	word 939
940	word 940
941	word 941
942	word 942
943	word 943
944	word 944
945	word 945
946	word 946
947	word 947
948	word 948
949	word 949
950	word 950
951	word 951
952	word 952
953	word 953
954	word 954
955	word 955
956	word 956
957	word 957
958	word 958
959	word 959
960	word 960
961	word 961
962	word 962
963	word 963
964	word 964
965	word 965
966	word 966
967	word 967
968	word 968
969	word 969
970	word 970
971	word 971
972	word 972
973	word 973
974	word 974
975	word 975
976	word 976
977	word 977
978	word 978
979	word 979
980	word 980
981	word 981
982	word 982
983	word 983
984	word 984
985	word 985
986	word 986
987	word 987
988	word 988
989	word 989
990	word 990
991	word 991
992	word 992
993	word 993
994	word 994
995	word 995
996	word 996
997	word 997
998	word 998
999	word 999
1000	word 1000
\.


--
-- Name: requests_request_id_seq; Type: SEQUENCE SET; Schema: lakeferry; Owner: postgres
--

SELECT pg_catalog.setval('lakeferry.requests_request_id_seq', 1, false);


--
-- Name: runs_run_id_seq; Type: SEQUENCE SET; Schema: lakeferry; Owner: postgres
--

SELECT pg_catalog.setval('lakeferry.runs_run_id_seq', 1, true);


--
-- Name: fill_pieces fill_pieces_pkey; Type: CONSTRAINT; Schema: lakeferry; Owner: postgres
--

ALTER TABLE ONLY lakeferry.fill_pieces
    ADD CONSTRAINT fill_pieces_pkey PRIMARY KEY (job_id, piece);


--
-- Name: fills fills_pkey; Type: CONSTRAINT; Schema: lakeferry; Owner: postgres
--

ALTER TABLE ONLY lakeferry.fills
    ADD CONSTRAINT fills_pkey PRIMARY KEY (job_id);


--
-- Name: jobs jobs_deployment_name_key; Type: CONSTRAINT; Schema: lakeferry; Owner: postgres
--

ALTER TABLE ONLY lakeferry.jobs
    ADD CONSTRAINT jobs_deployment_name_key UNIQUE (deployment, name);


--
-- Name: jobs jobs_pkey; Type: CONSTRAINT; Schema: lakeferry; Owner: postgres
--

ALTER TABLE ONLY lakeferry.jobs
    ADD CONSTRAINT jobs_pkey PRIMARY KEY (job_id);


--
-- Name: jobs jobs_target_schema_target_table_key; Type: CONSTRAINT; Schema: lakeferry; Owner: postgres
--

ALTER TABLE ONLY lakeferry.jobs
    ADD CONSTRAINT jobs_target_schema_target_table_key UNIQUE (target_schema, target_table);


--
-- Name: leases leases_pkey; Type: CONSTRAINT; Schema: lakeferry; Owner: postgres
--

ALTER TABLE ONLY lakeferry.leases
    ADD CONSTRAINT leases_pkey PRIMARY KEY (job_id);


--
-- Name: migrations migrations_pkey; Type: CONSTRAINT; Schema: lakeferry; Owner: postgres
--

ALTER TABLE ONLY lakeferry.migrations
    ADD CONSTRAINT migrations_pkey PRIMARY KEY (number);


--
-- Name: pauses pauses_pkey; Type: CONSTRAINT; Schema: lakeferry; Owner: postgres
--

ALTER TABLE ONLY lakeferry.pauses
    ADD CONSTRAINT pauses_pkey PRIMARY KEY (deployment, job);


--
-- Name: progress progress_pkey; Type: CONSTRAINT; Schema: lakeferry; Owner: postgres
--

ALTER TABLE ONLY lakeferry.progress
    ADD CONSTRAINT progress_pkey PRIMARY KEY (job_id);


--
-- Name: quarantine quarantine_pkey; Type: CONSTRAINT; Schema: lakeferry; Owner: postgres
--

ALTER TABLE ONLY lakeferry.quarantine
    ADD CONSTRAINT quarantine_pkey PRIMARY KEY (job_id, digest);


--
-- Name: requests requests_pkey; Type: CONSTRAINT; Schema: lakeferry; Owner: postgres
--

ALTER TABLE ONLY lakeferry.requests
    ADD CONSTRAINT requests_pkey PRIMARY KEY (request_id);


--
-- Name: runs runs_pkey; Type: CONSTRAINT; Schema: lakeferry; Owner: postgres
--

ALTER TABLE ONLY lakeferry.runs
    ADD CONSTRAINT runs_pkey PRIMARY KEY (run_id);


--
-- Name: words words_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.words
    ADD CONSTRAINT words_pkey PRIMARY KEY (id);


--
-- Name: requests_deployment_job_idx; Type: INDEX; Schema: lakeferry; Owner: postgres
--

CREATE INDEX requests_deployment_job_idx ON lakeferry.requests USING btree (deployment, job) WHERE (ended_at IS NULL);


--
-- Name: runs_job_id_run_id_idx; Type: INDEX; Schema: lakeferry; Owner: postgres
--

CREATE INDEX runs_job_id_run_id_idx ON lakeferry.runs USING btree (job_id, run_id);


--
-- Name: fill_pieces fill_pieces_job_id_fkey; Type: FK CONSTRAINT; Schema: lakeferry; Owner: postgres
--

ALTER TABLE ONLY lakeferry.fill_pieces
    ADD CONSTRAINT fill_pieces_job_id_fkey FOREIGN KEY (job_id) REFERENCES lakeferry.fills(job_id) ON DELETE CASCADE;


--
-- Name: fills fills_job_id_fkey; Type: FK CONSTRAINT; Schema: lakeferry; Owner: postgres
--

ALTER TABLE ONLY lakeferry.fills
    ADD CONSTRAINT fills_job_id_fkey FOREIGN KEY (job_id) REFERENCES lakeferry.jobs(job_id) ON DELETE CASCADE;


--
-- Name: leases leases_job_id_fkey; Type: FK CONSTRAINT; Schema: lakeferry; Owner: postgres
--

ALTER TABLE ONLY lakeferry.leases
    ADD CONSTRAINT leases_job_id_fkey FOREIGN KEY (job_id) REFERENCES lakeferry.jobs(job_id) ON DELETE CASCADE;


--
-- Name: progress progress_job_id_fkey; Type: FK CONSTRAINT; Schema: lakeferry; Owner: postgres
--

ALTER TABLE ONLY lakeferry.progress
    ADD CONSTRAINT progress_job_id_fkey FOREIGN KEY (job_id) REFERENCES lakeferry.jobs(job_id) ON DELETE CASCADE;


--
-- Name: quarantine quarantine_job_id_fkey; Type: FK CONSTRAINT; Schema: lakeferry; Owner: postgres
--

ALTER TABLE ONLY lakeferry.quarantine
    ADD CONSTRAINT quarantine_job_id_fkey FOREIGN KEY (job_id) REFERENCES lakeferry.jobs(job_id) ON DELETE CASCADE;


--
-- Name: runs runs_job_id_fkey; Type: FK CONSTRAINT; Schema: lakeferry; Owner: postgres
--

ALTER TABLE ONLY lakeferry.runs
    ADD CONSTRAINT runs_job_id_fkey FOREIGN KEY (job_id) REFERENCES lakeferry.jobs(job_id) ON DELETE CASCADE;


--
-- PostgreSQL database dump complete
--

