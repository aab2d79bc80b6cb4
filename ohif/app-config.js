/** OHIF's configuration (https://docs.ohif.org/configuration/). One data source, on this server's own origin.
 *
 * Left out on purpose: every source that follows an address in the page's URL (dicomjson, dicomwebproxy: CVE-2026-12473),
 * dangerouslyUseDynamicConfig, customizationUrlPrefixes, local files, and upload.
 */

// In a frame of another site a browser may refuse storage altogether, and OHIF does not start without any. What would
// be stored then lasts as long as the page.
for (const name of ['localStorage', 'sessionStorage']) {
  try {
    void window[name];
  } catch {
    const kept = new Map();
    const storage = {
      get length() {
        return kept.size;
      },
      key: index => [...kept.keys()][index] ?? null,
      getItem: key => kept.get(String(key)) ?? null,
      setItem: (key, value) => void kept.set(String(key), String(value)),
      removeItem: key => void kept.delete(String(key)),
      clear: () => kept.clear(),
    };
    Object.defineProperty(window, name, { value: storage });
  }
}

// Segments are laid on their images by a library (ndarray) that writes its classes as strings and compiles them, and the
// page's policy compiles no strings. It gets classes that are here already, with what OHIF asks of them: no more.
{
  class View {
    constructor(data, shape = [], stride = [], offset = 0) {
      Object.assign(this, { data, shape, stride, offset, dimension: shape.length });
    }
    get size() {
      return this.shape.reduce((product, length) => product * length, 1);
    }
    index(...at) {
      return this.stride.reduce((sum, step, axis) => sum + step * at[axis], this.offset);
    }
    get(...at) {
      return this.data[this.index(...at)];
    }
    set(...at) {
      const value = at.pop();
      return (this.data[this.index(...at)] = value);
    }
  }

  // Turned and mirrored segments are copied pixel by pixel.
  class Plane extends View {
    get(row, column) {
      return this.data[this.offset + this.stride[0] * row + this.stride[1] * column];
    }
    set(row, column, value) {
      return (this.data[this.offset + this.stride[0] * row + this.stride[1] * column] = value);
    }
  }

  window.Function = new Proxy(window.Function, {
    construct(target, words, made) {
      const written = /^(?:'use strict'\n)?function View(_Nil|\d+d)\w+\(/.exec(words.at(-1));
      if (written === null) return Reflect.construct(target, words, made);
      const Made = written[1] === '2d' ? Plane : View;
      return () => (data, shape, stride, offset) => new Made(data, shape, stride, offset);
    },
  });
}

// What is listed and not shown (docs/reference/viewer.md) is said beside the images, however the page was come to: over the
// list of series, until somebody has read it. No image waits for it or lies under it.
{
  const place = /^(.*?\/viewer)(?:\/[^/]*)?$/.exec(location.pathname);
  const tell = warnings => {
    const notice = document.createElement('div');
    notice.id = 'interop-unseen';
    notice.setAttribute('role', 'status');
    const style = { position: 'fixed', left: '8px', bottom: '8px', width: '266px', padding: '8px', zIndex: '1000' };
    const look = { background: '#4a3500', color: '#fff', borderRadius: '4px', fontSize: '13px', overflowWrap: 'anywhere' };
    Object.assign(notice.style, style, look);
    for (const text of new Set(['Not shown in this viewer:', ...warnings.map(each => each.text)])) {
      notice.append(Object.assign(document.createElement('p'), { textContent: text }));
    }
    const read = Object.assign(document.createElement('button'), { type: 'button', textContent: 'Close' });
    read.style.textDecoration = 'underline';
    read.addEventListener('click', () => notice.remove());
    notice.append(read);
    document.body.append(notice);
  };
  if (place !== null && location.search) {
    fetch(`${place[1]}/unseen${location.search}`)
      .then(answer => (answer.ok ? answer.json() : { warnings: [] }))
      .then(({ warnings }) => warnings.length && tell(warnings))
      .catch(error => console.warn('what is not shown is not known:', error));
  }
}

window.config = {
  name: 'interop',
  routerBasename: null,
  extensions: [],
  modes: [],
  customizationService: { 'ohif.tours': { $set: [] } }, // a guided tour over the images helps nobody who reads them
  investigationalUseDialog: { option: 'configure', days: 30 }, // OHIF's own notice: said once a month, not hidden
  showStudyList: false, // the list of studies is the start page's
  maxNumberOfWebWorkers: 3,
  showWarningMessageForCrossOrigin: false,
  showCPUFallbackMessage: true,
  showLoadingIndicator: true,
  strictZSpacingForVolumeViewport: true,
  groupEnabledModesFirst: true,
  allowMultiSelectExport: false,
  maxNumRequests: { interaction: 100, thumbnail: 5, prefetch: 10 },
  showErrorDetails: 'production',
  defaultDataSourceName: 'interop',
  dataSources: [
    {
      namespace: '@ohif/extension-default.dataSourcesModule.dicomweb',
      sourceName: 'interop',
      configuration: {
        friendlyName: 'Image archive',
        name: 'interop',
        wadoUriRoot: '/dicom-web',
        qidoRoot: '/dicom-web',
        wadoRoot: '/dicom-web',
        qidoSupportsIncludeField: true,
        supportsReject: false,
        dicomUploadEnabled: false,
        imageRendering: 'wadors',
        thumbnailRendering: 'wadors',
        enableStudyLazyLoad: true,
        supportsFuzzyMatching: false,
        supportsWildcard: true,
        staticWado: false,
        singlepart: 'bulkdata,video',
        bulkDataURI: { enabled: true },
        omitQuotationForMultipartRequest: true,
        // One bit a pixel, uncompressed, for all readers: Orthanc 1.10 cannot unpack the RLE that OHIF would make of it.
        segmentation: { store: { defaultMode: 'bitmap', transferSyntaxUID: '1.2.840.10008.1.2.1' } },
      },
    },
  ],
};
