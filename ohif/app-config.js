/** OHIF's configuration (https://docs.ohif.org/configuration/). One data source, on this server's own origin.
 *
 * Left out on purpose: every source that follows an address in the page's URL (dicomjson, dicomwebproxy: CVE-2026-12473),
 * dangerouslyUseDynamicConfig, customizationUrlPrefixes, local files, and upload.
 */
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
      },
    },
  ],
};
