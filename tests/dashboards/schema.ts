// What Grafana's own schema allows of a dashboard; the dashboards follow as constants of this type.

import type { AnnotationQuery, Dashboard, Panel, RowPanel, VariableModel } from "@grafana/schema";
import type * as Heatmap from "@grafana/schema/dist/esm/raw/composable/heatmap/panelcfg/x/HeatmapPanelCfg_types.gen";
import type * as Stat from "@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen";
import type * as Timeline from "@grafana/schema/dist/esm/raw/composable/statetimeline/panelcfg/x/StateTimelinePanelCfg_types.gen";
import type * as Table from "@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen";
import type * as Series from "@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen";

// JSON spells the value of an enumeration where TypeScript wants its name.
type Plain<T> = T extends string ? `${T}` : T extends object ? { [K in keyof T]: Plain<T[K]> } : T;

interface Source { type: "prometheus"; uid: "${datasource}" }

// The schema has no type for queries of Prometheus.
interface Query {
  refId: string;
  datasource: Source;
  expr: string;
  legendFormat: string;
  format: "time_series" | "table" | "heatmap";
  instant: boolean;
  range: boolean;
  exemplar: boolean;
}

type Shown = "type" | "options" | "fieldConfig" | "targets" | "datasource" | "title" | "description";
type Common = Plain<Omit<Panel, Shown>>;

interface Of<Kind extends string, Options, Custom> extends Common {
  type: Kind;
  title: string;
  description: string;
  datasource: Source;
  targets: Query[];
  options: Plain<Options>;
  fieldConfig: {
    // With the panel's own options alone: the schema's type lets any others pass.
    defaults: Plain<Omit<NonNullable<Panel["fieldConfig"]>["defaults"], "custom">> & { custom?: Plain<Partial<Custom>> };
    overrides: NonNullable<Panel["fieldConfig"]>["overrides"];
  };
}

type AnyPanel =
  | Of<"heatmap", Heatmap.Options, Heatmap.FieldConfig>
  | Of<"stat", Stat.Options, Record<string, never>>
  | Of<"state-timeline", Omit<Timeline.Options, "timezone">, Timeline.FieldConfig>
  | Of<"table", Omit<Table.Options, "frameIndex">, Table.FieldConfig>
  | Of<"timeseries", Series.Options, Series.FieldConfig>
  | Plain<RowPanel>;

// The data source's plugin, not the schema, says what an annotation asks of it.
type AnyAnnotation = Plain<Omit<AnnotationQuery, "datasource">> & {
  datasource: Source;
  expr: string;
  step: string;
  titleFormat: string;
  textFormat: string;
  useValueForTime: "false";
};

type AnyDashboard = Plain<Omit<Dashboard, "panels" | "annotations" | "templating">> & {
  uid: string;
  panels: AnyPanel[];
  annotations: { list: AnyAnnotation[] };
  templating: { list: Plain<VariableModel>[] };
};
