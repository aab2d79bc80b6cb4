// A round of transactions with the dicomweb-client of npm, in a page of the server; gives one object of what came back.
async ({ url, token, study }) => {
  const { DICOMwebClient } = globalThis.DICOMwebClient.api ?? globalThis.DICOMwebClient;
  const client = new DICOMwebClient({ url, headers: { Authorization: `Bearer ${token}` }, verbose: false });
  const first = (row, tag) => row[tag].Value[0];
  const start = (buffer, size = 4) => String.fromCharCode(...new Uint8Array(buffer, 0, size));
  const refused = (promise) => promise.then(() => 200, (error) => error.status);
  const got = {};

  const [row] = await client.searchForStudies({ queryParams: { PatientName: "Ξέν*", StudyInstanceUID: study } });
  got.study = [first(row, "0020000D"), first(row, "00080061"), first(row, "00201208")];
  const series = await client.searchForSeries({ studyInstanceUID: study, queryParams: { Modality: "CT" } });
  const studyInstanceUID = study;
  const seriesInstanceUID = first(series[0], "0020000E");
  const rows = await client.searchForInstances({ studyInstanceUID, seriesInstanceUID });
  const sopInstanceUID = first(rows[0], "00080018");
  const instance = { studyInstanceUID, seriesInstanceUID, sopInstanceUID };
  got.rows = [series.length, rows.length, (await client.searchForInstances({ queryParams: { limit: 1 } })).length];

  const metadata = [
    await client.retrieveStudyMetadata(instance),
    await client.retrieveSeriesMetadata(instance),
    [].concat(await client.retrieveInstanceMetadata(instance)),
  ];
  got.metadata = metadata.map((list) => list.length);
  const BulkDataURI = metadata[2][0]["7FE00010"].BulkDataURI;
  got.bulk = (await client.retrieveBulkData({ BulkDataURI })).map((each) => each.byteLength);

  const files = await client.retrieveStudy(instance);
  got.files = [files.length, (await client.retrieveSeries(instance)).length];
  got.file = start(await client.retrieveInstance(instance), 132).slice(128);
  got.wadoUri = await refused(client._httpGet(client.buildInstanceWadoURIUrl(instance).replace("/dicom-web?", "/dicom-web/wado?"), {}, {}));

  const frames = { ...instance, frameNumbers: [1] };
  const octets = { mediaType: "application/octet-stream", transferSyntaxUID: "1.2.840.10008.1.2.1" };
  const jpeg = { mediaType: "image/jpeg", transferSyntaxUID: "1.2.840.10008.1.2.4.50" };
  got.frames = [];
  for (const mediaTypes of [undefined, [octets], [jpeg, octets]]) {
    got.frames.push((await client.retrieveInstanceFrames({ ...frames, mediaTypes })).map((each) => each.byteLength));
  }

  const png = [{ mediaType: "image/png" }];
  const queryParams = { viewport: "64,64" };
  got.pictures = [
    await client.retrieveInstanceRendered({ ...instance, mediaTypes: png }),
    await client.retrieveInstanceRendered({ ...instance, queryParams }),
    await client.retrieveInstanceThumbnail({ ...instance, mediaTypes: png }),
    await client.retrieveInstanceFramesRendered({ ...frames, mediaTypes: png }),
    await client.retrieveInstanceFramesThumbnail(frames),
  ].flat().map((each) => start(each));

  const stored = JSON.parse(await client.storeInstances({ datasets: files }));
  got.stored = [stored["00081199"].Value.length, "00081198" in stored, first(stored, "00081190")];

  const nobody = new DICOMwebClient({ url, headers: { Authorization: "Bearer no" }, verbose: false });
  got.refused = [
    await refused(nobody.searchForStudies()),
    await refused(client.retrieveStudyMetadata({ studyInstanceUID: "1.2.3" })),
    await refused(client.retrieveInstanceFrames({ ...frames, frameNumbers: [9] })),
    await refused(client.retrieveInstanceRendered({ ...instance, mediaTypes: [{ mediaType: "image/gif" }] })),
    await refused(client.storeInstances({ datasets: files, studyInstanceUID: "1.2.3" })),
    await refused(client.storeInstances({ datasets: [new ArrayBuffer(300)] })),
  ];
  return got;
};
