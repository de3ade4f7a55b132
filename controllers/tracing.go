package controllers

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// Attributes of spans for which OpenTelemetry's semantic conventions have no name. docs/observability.md lists them.
const (
	objectKey      = attribute.Key("kubemint.object.name")
	reconcileIDKey = attribute.Key("kubemint.reconcile.id") // As in the lines that controller-runtime logs.
)

// traced has each reconciliation of a reconciler be a trace, and its log lines name that. Without a tracer it does nothing.
func traced(tracer trace.Tracer, what string, reconciler reconcile.Reconciler) reconcile.Reconciler {
	if tracer == nil {
		return reconciler
	}
	return reconcile.Func(func(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
		ctx, span := tracer.Start(ctx, "reconcile "+what, trace.WithAttributes(semconv.K8SNamespaceName(req.Namespace),
			objectKey.String(req.Name), reconcileIDKey.String(string(controller.ReconcileIDFromContext(ctx)))))
		defer span.End()
		ctx = log.IntoContext(ctx, log.FromContext(ctx).WithValues("trace_id", span.SpanContext().TraceID().String()))
		result, err := reconciler.Reconcile(ctx, req)
		if err != nil {
			span.SetStatus(codes.Error, err.Error())
		}
		return result, err
	})
}

// TracerName is the instrumentation scope of the spans.
const TracerName = "github.com/kubemint/kubemint/controllers"
